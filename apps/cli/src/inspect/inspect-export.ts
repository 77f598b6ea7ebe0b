import type { PaliGemmaConfig } from "@paligemma/config";
import { isPaliGemmaError } from "@paligemma/core";
import { PORTABLE, exportedDTypes, openExport, type ExportDType, type OpenedExport } from "@paligemma/onnx";
import type { ModelFiles } from "@paligemma/weights";
import { needsOf, type Needs, type Stored } from "./devices.ts";

/** One precision of an ONNX export. */
export interface ExportedPrecision {
  readonly dtype: ExportDType;
  /** Bytes of the weights by element type. */
  readonly elementTypes: Readonly<Record<string, number>>;
  readonly bytes: number;
  readonly needs: readonly Needs[];
  /** What the decoder wants besides embeddings and caches: with an attention mask, padding is possible in transformers.js. */
  readonly decoderInputs: readonly string[];
}

/** Reads the graphs of every precision; weights are not read. What is wrong with one is a problem, in words. */
export async function inspectExport(
  files: ModelFiles,
  config: PaliGemmaConfig,
  signal: AbortSignal,
): Promise<{ readonly precisions: readonly ExportedPrecision[]; readonly problems: readonly string[] }> {
  const precisions: ExportedPrecision[] = [];
  const problems: string[] = [];
  const there = exportedDTypes(files);
  for (const dtype of there.length > 0 ? there : ([undefined] as const)) {
    try {
      const opened = await openExport(files, { target: PORTABLE, signal, ...(dtype && { dtype }) });
      precisions.push(precisionOf(opened, config));
    } catch (error) {
      if (!isPaliGemmaError(error)) throw error;
      problems.push(error.message);
    }
  }
  return { precisions, problems };
}

function precisionOf({ dtype, graphs }: OpenedExport, config: PaliGemmaConfig): ExportedPrecision {
  const elementTypes: Record<string, number> = {};
  const stored: Stored[] = [];
  for (const { ref } of Object.values(graphs).flatMap(({ initializers }) => initializers)) {
    if (!ref) continue;
    elementTypes[ref.dtype] = (elementTypes[ref.dtype] ?? 0) + ref.end - ref.start;
    stored.push({ ...ref, packed: !/float/.test(ref.dtype) });
  }
  return {
    dtype,
    elementTypes,
    bytes: Object.values(elementTypes).reduce((a, b) => a + b, 0),
    // Their graphs compute in float32, whatever their weights are.
    needs: needsOf(stored, config).filter(({ precision }) => precision === "float32"),
    decoderInputs: graphs.decoder_model_merged.inputs
      .map(({ name }) => name)
      .filter((name) => !name.startsWith("past_key_values.")),
  };
}
