import { storedFiles, type StoredOptions } from "@paligemma/hub/browser";
import { decodeImage, type BrowserImageSource } from "@paligemma/processor/browser";
import type { ModelFiles } from "@paligemma/weights";
import { loadPaliGemma as loadFiles, type LoadOptions, type PaliGemma } from "../paligemma.ts";

/** How to load in a browser. */
export interface BrowserLoadOptions extends LoadOptions<BrowserImageSource> {
  /** Of a name on the Hub: token, revision, endpoint, offline, where it is kept. */
  readonly hub?: Omit<StoredOptions, "onProgress" | "signal">;
}

/**
 * A model from a repository of the Hugging Face Hub ("owner/name" or "owner/name@revision"), which the browser keeps and reads
 * without a network the next time, or from its files. Pictures may be what the browser decodes (see `decodeImage` of
 * `@paligemma/processor/browser`) unless `decodeImage` says otherwise. Throws what `storedFiles` throws.
 */
export async function loadPaliGemma(
  from: string | ModelFiles,
  { hub, ...options }: BrowserLoadOptions,
): Promise<PaliGemma<BrowserImageSource>> {
  const { onProgress, signal } = options;
  const files =
    typeof from === "string"
      ? await storedFiles(from, { ...hub, ...(onProgress && { onProgress }), ...(signal && { signal }) })
      : from;
  return await loadFiles<BrowserImageSource>(files, { decodeImage, ...options });
}
