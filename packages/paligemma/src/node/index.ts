import { fileURLToPath } from "node:url";
import { PaliGemmaError } from "@paligemma/core";
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
}

/**
 * A model from a folder (a path or a file: URL) or from its files. Pictures may be bytes, paths and file: URLs: sharp
 * decodes them unless `decodeImage` says otherwise.
 */
export async function loadPaliGemma(
  from: string | URL | ModelFiles,
  { dtype, cacheFolder, ...options }: NodeLoadOptions,
): Promise<PaliGemma<ImageSource>> {
  if (dtype === undefined && cacheFolder !== undefined)
    throw new PaliGemmaError(
      "paligemma/option",
      "cacheFolder is for quantised weights; give dtype too, or leave it out",
    );
  const given = await filesOf(from);
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

async function filesOf(from: string | URL | ModelFiles): Promise<ModelFiles> {
  if (from instanceof URL) return await folderFiles(fileURLToPath(from));
  return typeof from === "string" ? await folderFiles(from) : from;
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
