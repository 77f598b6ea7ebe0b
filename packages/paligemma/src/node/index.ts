import { fileURLToPath } from "node:url";
import { PaliGemmaError } from "@paligemma/core";
import { looksLikeRepository } from "@paligemma/hub";
import { openFiles, type CachedHubOptions } from "@paligemma/hub/node";
import { decodeImage, type ImageSource } from "@paligemma/processor/node";
import type { QuantizedDType } from "@paligemma/quantization";
import { quantizedFiles } from "@paligemma/quantization/node";
import type { ModelFiles } from "@paligemma/weights";
import { folderFiles } from "@paligemma/weights/node";
import { calibrate as calibrateFiles, type CalibrateOptions, type CalibrationExample } from "../calibrate/calibrate.ts";
import { readConfig } from "../files.ts";
import { loadPaliGemma as loadFiles, type LoadOptions, type PaliGemma } from "../paligemma.ts";

/** How to load in Node. */
export interface NodeLoadOptions extends LoadOptions<ImageSource> {
  /**
   * Quantise the weights to this precision, or take them from the cache where that was done before; default: as they are. See
   * `quantizedFiles` of `@paligemma/quantization/node`. Weights that are quantised already throw `quantization/nothing`.
   */
  readonly dtype?: QuantizedDType;
  /** With `dtype`: where quantised weights are kept. Default: `PALIGEMMA_CACHE`, else `~/.cache/paligemma`. */
  readonly cacheFolder?: string;
  /** Of a name on the Hub: token, revision, cache, endpoint, offline. Default: what the HF_… variables say. */
  readonly hub?: Omit<CachedHubOptions, "onProgress" | "signal">;
}

/**
 * A model from a folder (a path or a file: URL), from a repository of the Hugging Face Hub ("owner/name" or
 * "owner/name@revision", where there is no such folder), or from its files. Pictures may be bytes, paths and file: URLs: sharp
 * decodes them unless `decodeImage` says otherwise.
 */
export async function loadPaliGemma(
  from: string | URL | ModelFiles,
  { dtype, cacheFolder, hub, ...options }: NodeLoadOptions,
): Promise<PaliGemma<ImageSource>> {
  if (dtype === undefined && cacheFolder !== undefined)
    throw new PaliGemmaError(
      "paligemma/option",
      "cacheFolder is for quantised weights; give dtype too, or leave it out",
    );
  const given = await filesOf(from, {
    ...hub,
    ...(options.onProgress && { onProgress: options.onProgress }),
    ...(options.signal && { signal: options.signal }),
  });
  const files = dtype === undefined ? given : await quantized(given, { ...options, dtype, cacheFolder });
  return await loadFiles<ImageSource>(files, { decodeImage, ...options });
}

/** As `calibrate` of `paligemma`, of a folder or files; pictures may be bytes, paths and file: URLs. */
export async function calibrate(
  from: string | URL | ModelFiles,
  examples: Iterable<CalibrationExample<ImageSource>> | AsyncIterable<CalibrationExample<ImageSource>>,
  options: CalibrateOptions<ImageSource>,
): Promise<ReadonlyMap<string, Float32Array>> {
  return await calibrateFiles<ImageSource>(await filesOf(from), examples, { decodeImage, ...options });
}

async function filesOf(from: string | URL | ModelFiles, hub: CachedHubOptions = {}): Promise<ModelFiles> {
  if (from instanceof URL) return await folderFiles(fileURLToPath(from));
  if (typeof from !== "string") return from;
  return looksLikeRepository(from) ? await openFiles(from, hub) : await folderFiles(from);
}

async function quantized(
  files: ModelFiles,
  {
    dtype,
    cacheFolder,
    onProgress,
    signal,
  }: Pick<NodeLoadOptions, "onProgress" | "signal"> & {
    readonly dtype: QuantizedDType;
    readonly cacheFolder: string | undefined;
  },
): Promise<ModelFiles> {
  const { text } = await readConfig(files, signal);
  return await quantizedFiles(files, {
    dtype,
    tied: text.tieWordEmbeddings,
    ...(cacheFolder !== undefined && { cacheFolder }),
    ...(onProgress && { onProgress }),
    ...(signal && { signal }),
  });
}
