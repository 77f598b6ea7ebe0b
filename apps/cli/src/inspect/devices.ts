import { bitsOf, sizeOf } from "@paligemma/core";
import type { PaliGemmaConfig } from "@paligemma/config";

/** Bytes that one device needs to run a checkpoint. */
export interface Needs {
  readonly device: "cpu" | "cuda" | "webgpu";
  /** Format of the arithmetic. */
  readonly precision: "float32" | "float16";
  /** Of all weights, as this device keeps them. */
  readonly weights: number;
  /** Of keys and values of one answer. */
  readonly cachePer1000Tokens: number;
  /** The two together for one picture and 500 tokens of prompt and answer; what runtimes need besides is not in it. */
  readonly total: number;
}

/** A tensor as it lies in the files, or in a plan of them. */
export interface Stored {
  readonly name: string;
  readonly dtype: Parameters<typeof bitsOf>[0];
  readonly shape: readonly number[];
  /** Part of a matrix in 4 or 8 bits, which every device keeps as it is. */
  readonly packed: boolean;
}

const TEXT_TOKENS = 500;
const TABLE = "language_model.model.embed_tokens.weight";
const HALF = 2;
const FULL = 4;

/**
 * What each device needs. Arithmetic is float32 everywhere, and half-precision weights become float32 when they are loaded; with
 * WebGPU it can be float16. The token table of a half-precision file is kept beside its float32 copy, which is the output layer.
 */
export function needsOf(stored: readonly Stored[], config: PaliGemmaConfig): readonly Needs[] {
  const quantized = stored.some(({ packed }) => packed);
  const bytes = (width: number): number => sum(stored.map((t) => (t.packed ? asStored(t) : sizeOf(t.shape) * width)));
  const table = stored.find(({ name, packed }) => name === TABLE && !packed);
  const extra = table && config.text.tieWordEmbeddings && bitsOf(table.dtype) < 32 ? asStored(table) : 0;
  const { text, numImageTokens } = config;
  const numbers = 2 * text.numHiddenLayers * text.numKeyValueHeads * text.headDim * 1000;
  const made = (device: Needs["device"], precision: Needs["precision"], weights: number): Needs => {
    const cachePer1000Tokens = numbers * (precision === "float32" ? FULL : HALF);
    return {
      device,
      precision,
      weights,
      cachePer1000Tokens,
      total: weights + (cachePer1000Tokens * (numImageTokens + TEXT_TOKENS)) / 1000,
    };
  };
  return [
    made("cpu", "float32", bytes(FULL) + extra),
    made("cuda", "float32", bytes(FULL) + extra),
    made("webgpu", "float32", bytes(FULL)),
    // A GPU multiplies with packed matrices in float32 only.
    ...(quantized ? [] : [made("webgpu", "float16", bytes(HALF))]),
  ];
}

function asStored({ dtype, shape }: Stored): number {
  return (sizeOf(shape) * bitsOf(dtype)) / 8;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
