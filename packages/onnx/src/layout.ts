/** The three networks of an export, by the names that transformers.js gives their files. */
export const PARTS = ["vision_encoder", "embed_tokens", "decoder_model_merged"] as const;

/** One of the three networks of an export. */
export type Part = (typeof PARTS)[number];

/** Precisions as transformers.js calls them in its option `dtype`, and what it appends to the names of their files. */
export const SUFFIXES = { fp32: "", fp16: "_fp16", q8: "_quantized", q4: "_q4" } as const;

/** A precision as transformers.js calls it. */
export type ExportDType = keyof typeof SUFFIXES;

/** `onnx/decoder_model_merged_q4.onnx` */
export function partPath(part: Part, dtype: ExportDType): string {
  return `onnx/${part}${SUFFIXES[dtype]}.onnx`;
}

/** The name of the i-th file of weights beside a model: transformers.js asks for `…_data`, `…_data_1`, …. */
export function dataPath(model: string, i: number): string {
  return `${model}_data${i === 0 ? "" : `_${i}`}`;
}
