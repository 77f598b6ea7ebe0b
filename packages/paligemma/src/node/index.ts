import { fileURLToPath } from "node:url";
import { decodeImage, type ImageSource } from "@paligemma/processor/node";
import type { ModelFiles } from "@paligemma/weights";
import { folderFiles } from "@paligemma/weights/node";
import { loadPaliGemma as loadFiles, type LoadOptions, type PaliGemma } from "../paligemma.ts";

/**
 * A model from a folder (a path or a file: URL) or from its files. Pictures may be bytes, paths and file: URLs: sharp
 * decodes them unless `decodeImage` says otherwise.
 */
export async function loadPaliGemma(
  from: string | URL | ModelFiles,
  options: LoadOptions<ImageSource>,
): Promise<PaliGemma<ImageSource>> {
  const files =
    typeof from === "string"
      ? await folderFiles(from)
      : from instanceof URL
        ? await folderFiles(fileURLToPath(from))
        : from;
  return await loadFiles<ImageSource>(files, { decodeImage, ...options });
}
