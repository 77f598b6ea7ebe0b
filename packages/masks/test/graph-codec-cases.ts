import type { Backend } from "@paligemma/backend";
import { createMaskCodec } from "@paligemma/masks";
import { createGraphCodec } from "@paligemma/masks/graph";
import { expect } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { randomCodec } from "./random-codec.ts";

/** What tooling/oracles/mask_codec.py wrote: PyTorch's numbers for the codec of `randomCodec`. */
export interface CodecOracle {
  readonly codes: number[][];
  readonly nearest: number[][];
  readonly floats: Readonly<Record<"decodedFirst" | "decodedLast" | "features", readonly [number, number]>>;
}

/** The oracle's `discs`. */
export const DISCS: readonly Float32Array[] = Array.from({ length: 9 }, (_, k) =>
  Float32Array.from({ length: 4096 }, (__, i) =>
    (((i % 64) - 20 - 3 * k) / (8 + 3 * k)) ** 2 + (((i >> 6) - 40 + 2 * k) / (20 - k)) ** 2 < 1 ? 1 : -1,
  ),
);

/** The largest distance of two lists of numbers of one length. */
export function farthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!));
  return most;
}

/** Both directions on a backend equal PyTorch and the codec in TypeScript, in one batch and in several. */
export async function expectGraphCodec(backend: Backend, oracle: CodecOracle, binary: Uint8Array): Promise<void> {
  const floats = (name: keyof CodecOracle["floats"]): Float32Array => {
    const [start, end] = oracle.floats[name];
    return new Float32Array(binary.slice(start * 4, end * 4).buffer);
  };
  const tensors = randomCodec();
  const plain = createMaskCodec(tensors);
  await using codec = createGraphCodec(tensors, backend);
  const tolerance = TOLERANCES["masks/codec"];

  const rasters = await codec.decode(oracle.codes);
  expect(farthest(rasters[0]!, floats("decodedFirst"))).toBeLessThan(tolerance);
  expect(farthest(rasters[8]!, floats("decodedLast"))).toBeLessThan(tolerance);
  for (const [i, raster] of plain.decode(oracle.codes).entries())
    expect(farthest(rasters[i]!, raster)).toBeLessThan(tolerance);

  const features = await codec.encodeFeatures(DISCS);
  const expected = floats("features");
  expect(farthest(features.subarray(0, expected.length), expected)).toBeLessThan(tolerance);
  expect(farthest(features, plain.encodeFeatures(DISCS))).toBeLessThan(tolerance);
  expect(await codec.encode(DISCS)).toEqual(oracle.nearest);

  expect([await codec.decode([]), await codec.encode([])]).toEqual([[], []]);
}

/** More masks than one run takes come out as alone. */
export async function expectManyMasks(backend: Backend, oracle: CodecOracle): Promise<void> {
  await using codec = createGraphCodec(randomCodec(), backend);
  const rasters = await codec.decode(oracle.codes);
  const many = Array.from({ length: 70 }, (_, i) => oracle.codes[i % 9]!);
  const all = await codec.decode(many);
  expect(all).toHaveLength(70);
  for (const i of [0, 63, 64, 69]) expect(farthest(all[i]!, rasters[i % 9]!)).toBeLessThan(TOLERANCES["masks/codec"]);
}
