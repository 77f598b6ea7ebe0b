import type { DType } from "@paligemma/core";

/** Fused operators that not every device has (right and fast); graphs fall back to plain ones without them. */
export type FusedOperator =
  | "Attention" // ai.onnx 23: grouped heads, additive mask and soft-capping
  | "MultiHeadAttention" // com.microsoft: equal heads
  | "MultiHeadAttention with bias" // the same, which adds the biases of query, key and value
  | "SimplifiedLayerNormalization" // root-mean-square norm, faster than RMSNormalization where present
  | "RotaryEmbedding" // ai.onnx 23
  | "FusedMatMul" // com.microsoft: a product of matrices one of which may lie the other way round, or between its batches
  | "MatMulNBits" // com.microsoft: block-quantised weights
  | "MatMulInteger" // ai.onnx 10, and com.microsoft's MatMulIntegerToFloat: bytes times signed bytes as they lie in a file
  | "Einsum"; // ai.onnx 12, in float32: a loop for each number it makes, for few rows, where products are made for many

/** What a device can do, as plain data: graph code reads this and never asks where it runs. */
export interface Target {
  /** "cpu", "cuda", "webgpu", … */
  readonly name: string;
  /** Format that arithmetic is done in. */
  readonly compute: "float32" | "float16" | "bfloat16";
  /** Formats of weights that the device reads from the file as they are (others must be converted when loading). */
  readonly stored: ReadonlySet<DType>;
  readonly fused: ReadonlySet<FusedOperator>;
  /**
   * True where each kind of operator is a program that is compiled at its first use, which takes longer than running it: graphs
   * then make do with few kinds. Default: false.
   */
  readonly fewPrograms?: boolean;
  /** True where weights in files are used as they lie there, by as many graphs as want them. Default: false. */
  readonly mapsFiles?: boolean;
}

/** onnxruntime's CPU provider: float32 arithmetic, half-precision weights converted once at load. */
export const CPU: Target = {
  name: "cpu",
  compute: "float32",
  stored: new Set<DType>(["float32", "float16", "bfloat16"]),
  fused: new Set([
    "Attention",
    "MultiHeadAttention",
    "MultiHeadAttention with bias",
    "SimplifiedLayerNormalization",
    "RotaryEmbedding",
    "FusedMatMul",
    "MatMulNBits",
    "MatMulInteger",
  ]),
  mapsFiles: true,
};

const WITHOUT_PANELS: ReadonlySet<FusedOperator> = new Set([...CPU.fused].filter((op) => op !== "MatMulInteger"));

/**
 * onnxruntime's CPU provider on processors on which products of bytes are slow for one row of input (not x86), or lossy: x86 before
 * VNNI adds two of them in 16 bits, which some do not fit into. Whole rows are multiplied in blocks there.
 */
export const CPU_WITHOUT_PANELS: Target = { ...CPU, fused: WITHOUT_PANELS };

/** onnxruntime's CUDA provider with float32 arithmetic. */
export const CUDA: Target = { ...CPU, name: "cuda", fused: WITHOUT_PANELS, mapsFiles: false };

/**
 * onnxruntime-web's WebGPU provider on a device without subgroups, with which its MultiHeadAttention would be wrong on several
 * adapters. No ai.onnx Attention there (it would run on the CPU), no bfloat16; attention with a mask or over few heads is
 * written with plain operators. Its products compute 32 rows where there is one; Einsum computes what is asked.
 */
export const WEBGPU: Target = {
  name: "webgpu",
  compute: "float32",
  stored: new Set<DType>(["float32"]),
  fused: new Set(["MultiHeadAttention", "SimplifiedLayerNormalization", "RotaryEmbedding", "MatMulNBits", "Einsum"]),
  fewPrograms: true,
};

/** onnxruntime-web's WebAssembly provider. */
export const WASM: Target = {
  ...CPU,
  name: "wasm",
  stored: new Set<DType>(["float32"]),
  fused: WITHOUT_PANELS,
  mapsFiles: false,
};
