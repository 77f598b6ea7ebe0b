import type { Backend, CompileOptions } from "@paligemma/backend";
import type { PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError } from "@paligemma/core";
import { looksLikeExport, type ExportDType } from "@paligemma/onnx";
import { openModel, weightPaths, type ModelFiles } from "@paligemma/weights";
import { createExportModel } from "./export-model.ts";
import { createModel, type PaliGemmaModel } from "./model.ts";

/** The part of `LoadOptions` that networks take. */
interface NetworkOptions extends CompileOptions {
  readonly backend: Backend;
  readonly finalSoftcap?: boolean;
  readonly exportDType?: ExportDType;
}

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
    return await createModel({ ...shared, checkpoint, ...(finalSoftcap !== undefined && { finalSoftcap }) });
  }
  if (finalSoftcap === true)
    throw new PaliGemmaError(
      "paligemma/option",
      `finalSoftcap cannot be added to ${files.name}, an ONNX export; load the checkpoint that it was made from`,
    );
  return await createExportModel({ ...shared, files, ...(exportDType && { exportDType }) });
}
