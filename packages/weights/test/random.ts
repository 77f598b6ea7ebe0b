import { DTYPES, type DType, type NdArray } from "@paligemma/core";
import { allocate, sizeOf } from "@paligemma/core";

/** Seeded numbers in [0, 1): the same on every machine (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const STORED = DTYPES.filter((dtype) => dtype !== "int4" && dtype !== "uint4");

/** An array of random bits in a random format. */
export function randomArray(next: () => number, shape: readonly number[] = randomShape(next), dtype?: DType): NdArray {
  const kind = dtype ?? STORED[Math.floor(next() * STORED.length)];
  const data = allocate(kind, sizeOf(shape));
  const bytes = new Uint8Array(data.buffer);
  for (let i = 0; i < bytes.length; i++) bytes[i] = next() * 256;
  return { dtype: kind, shape, data };
}

function randomShape(next: () => number): readonly number[] {
  return Array.from({ length: Math.floor(next() * 4) }, () => Math.floor(next() * 5));
}
