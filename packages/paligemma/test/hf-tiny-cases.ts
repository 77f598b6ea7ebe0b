import { ndArray, type NdArray } from "@paligemma/core";

/** The tiny checkpoints that transformers 5.18 wrote, and what it computed with them. */
export const NAMES = ["pg1-tiny", "pg2-tiny", "pg2-tiny-w4"] as const;

/** What transformers generated, by case. */
export type TinyAnswers = Record<
  string,
  { args: Record<string, unknown>; new_tokens: number[][]; sequences_scores: number[] | null }
> & { "D.loss": number };

/** pixel_values of the fixtures: sin(0.37 j) · 0.9, [images, 3, 28, 28]. */
export function pixels(images: number): NdArray<"float32"> {
  const data = Float32Array.from({ length: images * 3 * 28 * 28 }, (_, j) => Math.sin(j * 0.37) * 0.9);
  return ndArray("float32", [images, 3, 28, 28], data);
}

export function int64(rows: readonly (readonly number[])[]): NdArray<"int64"> {
  return ndArray("int64", [rows.length, rows[0]!.length], BigInt64Array.from(rows.flat().map(BigInt)));
}

const I = 256;
const image = [I, I, I, I];

/** The inputs of the fixtures (reference §17). */
export const INPUTS = {
  A: [[...image, 2, 10, 11, 12, 108]],
  B: [
    [...image, 2, 10, 11, 12, 108],
    [0, 0, ...image, 2, 30, 108],
  ],
  C: [[...image, ...image, 2, 10, 108]],
  D: [
    [...image, 2, 10, 11, 12, 108, 20, 21, 1],
    [0, 0, ...image, 2, 30, 108, 40, 41, 1],
  ],
} as const;

/** 1 for tokens, 0 for pads. */
export function maskOf(rows: readonly (readonly number[])[]): NdArray<"int64"> {
  return int64(rows.map((row) => row.map((id) => (id === 0 ? 0 : 1))));
}

/** The row with its left pads moved to the right. */
export function rightPadded(row: readonly number[]): number[] {
  const pads = row.findIndex((id) => id !== 0);
  return [...row.slice(pads), ...Array.from({ length: pads }, () => 0)];
}

/** The row as far as its end: transformers fills rows that ended early with pads, or with <eos> in beam search. */
export function upToEnd(row: readonly number[]): readonly number[] {
  const end = row.indexOf(1);
  return end === -1 ? row : row.slice(0, end + 1);
}

/** The largest distance of two numbers at the same place; infinite where one list is longer. */
export function farthest(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let most = 0;
  for (let i = 0; i < expected.length; i++) most = Math.max(most, Math.abs(actual[i]! - expected[i]!));
  return most;
}
