import type { Backend, CompileOptions } from "@paligemma/backend";
import type { PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError } from "@paligemma/core";
import { looksLikeExport, type ExportDType } from "@paligemma/onnx";
import { openAdapter, openModel, weightPaths, type Adapter, type ModelFiles } from "@paligemma/weights";
import { createExportModel } from "./export-model.ts";
import { createModel, type PaliGemmaModel } from "./model.ts";

/** The part of `LoadOptions` that networks take. */
interface NetworkOptions extends CompileOptions {
  readonly backend: Backend;
  readonly finalSoftcap?: boolean;
  readonly exportDType?: ExportDType;
  readonly adapters?: Readonly<Record<string, Adapter | ModelFiles>>;
  readonly visionCacheBytes?: number;
  readonly promptCacheBytes?: number;
}

/** Features of 32 pictures of 224 pixels, of 8 of 448, of 2 of 896. */
const VISION_CACHE_BYTES = 2 ** 26;

/** The networks among a model's files: from a checkpoint, or from an ONNX export where there is none. */
export async function openNetworks(
  files: ModelFiles,
  config: PaliGemmaConfig,
  options: NetworkOptions,
): Promise<PaliGemmaModel> {
  const { backend, finalSoftcap, exportDType, onProgress, signal } = options;
  const shared = { config, backend, ...(onProgress && { onProgress }), ...(signal && { signal }) };
  const isExport = looksLikeExport(files) && (await weightPaths(files, signal)).length === 0;
  if (!isExport && exportDType !== undefined)
    throw new PaliGemmaError(
      "paligemma/option",
      `exportDType is ${exportDType}, but ${files.name} is loaded from its weights; leave it out`,
    );
  if (!isExport) {
    const checkpoint = await openModel(files);
    const adapters = await opened(options.adapters ?? {}, signal);
    return await createModel({
      ...shared,
      checkpoint,
      adapters,
      visionCacheBytes: options.visionCacheBytes ?? VISION_CACHE_BYTES,
      promptCacheBytes: options.promptCacheBytes ?? 0,
      ...(finalSoftcap !== undefined && { finalSoftcap }),
    });
  }
  if (options.adapters !== undefined)
    throw new PaliGemmaError(
      "paligemma/option",
      `adapters cannot be kept apart from ${files.name}, an ONNX export; load the checkpoint that it was made from, or export it with the adapter`,
    );
  if (finalSoftcap === true)
    throw new PaliGemmaError(
      "paligemma/option",
      `finalSoftcap cannot be added to ${files.name}, an ONNX export; load the checkpoint that it was made from`,
    );
  return await createExportModel({ ...shared, files, ...(exportDType && { exportDType }) });
}

async function opened(
  given: Readonly<Record<string, Adapter | ModelFiles>>,
  signal: AbortSignal | undefined,
): Promise<Readonly<Record<string, Adapter>>> {
  const open = async (from: Adapter | ModelFiles): Promise<Adapter> =>
    "paths" in from ? await openAdapter(from, signal ? { signal } : {}) : from;
  const entries = Object.entries(given).map(async ([name, from]) => [name, await open(from)] as const);
  return Object.fromEntries(await Promise.all(entries));
}
