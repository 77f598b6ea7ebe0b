import { fromFloat32, ndArray, sizeOf, toFloat32, type NdArray } from "@paligemma/core";
import type { ByteSource } from "@paligemma/weights";
import { expect } from "vitest";

/** Numbers with a shape, in float64: what expected values are computed in. */
export interface Reference {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** A source of uniform numbers in [−1, 1), the same for equal seeds (mulberry32). */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/** A float32 array of numbers in [−1, 1). */
export function random(shape: readonly number[], seed: number): NdArray<"float32"> {
  const next = uniform(seed);
  return ndArray("float32", shape, Float32Array.from({ length: sizeOf(shape) }, next));
}

/** float32 array from numbers. */
export function floats(shape: readonly number[], values: Iterable<number>): NdArray<"float32"> {
  return ndArray("float32", shape, Float32Array.from(values));
}

/** int64 array from numbers. */
export function int64(shape: readonly number[], values: Iterable<number>): NdArray<"int64"> {
  return ndArray("int64", shape, BigInt64Array.from([...values].map(BigInt)));
}

/** The values of an array in float64. */
export function exact(array: NdArray): Reference {
  return { shape: array.shape, data: Float64Array.from(toFloat32(array).data) };
}

/** The array rounded to a format of weights, and the values that it then has. */
export function stored(
  array: NdArray<"float32">,
  dtype: "float32" | "float16" | "bfloat16",
): { readonly file: NdArray; readonly value: Reference } {
  const file = fromFloat32(array, dtype);
  return { file, value: exact(file) };
}

/**
 * Expects the same shape, and that no value is farther away than `tolerance` times the largest expected magnitude (or
 * times 1, where all are smaller).
 */
export function expectClose(actual: NdArray | undefined, expected: Reference, tolerance: number): void {
  expect(actual?.shape).toEqual([...expected.shape]);
  const { data } = toFloat32(actual!);
  let worst = 0;
  let largest = 1;
  for (let i = 0; i < data.length; i++) {
    const distance = Math.abs(data[i]! - expected.data[i]!);
    worst = Math.max(worst, Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance);
    largest = Math.max(largest, Math.abs(expected.data[i]!));
  }
  expect(worst / largest).toBeLessThanOrEqual(tolerance);
}

/** Bytes in memory as a source. */
export function memory(bytes: Uint8Array): ByteSource {
  return { name: "memory", size: bytes.byteLength, read: (start, end) => Promise.resolve(bytes.slice(start, end)) };
}
