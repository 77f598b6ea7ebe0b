import { bitsOf, fromFloat32, sizeOf, type NdArray } from "@paligemma/core";
import type { ByteSource, FloatDType, TensorRef } from "@paligemma/weights";

/** Numbers in one random block; a prime, so that rows of any length do not repeat one under the other. */
const BLOCK = 1_048_573;

/**
 * Random tensors of these shapes. Linear weights are normal with a variance of one over their inputs, so that activations keep
 * their size through every layer; scales of LayerNorm are around 1, all other vectors around 0, as RMSNorm of Gemma has it.
 * Blocks of random numbers are made once and repeated: bytes then come as fast as memory is copied.
 */
export function randomTensors(
  shapes: ReadonlyMap<string, readonly number[]>,
  dtype: FloatDType,
  seed: number,
): readonly TensorRef[] {
  const blocks = new Map<string, Uint8Array>();
  const block = (mean: number, deviation: number): Uint8Array => {
    const key = `${mean} ${deviation}`;
    const made = blocks.get(key) ?? bytesOf(fromFloat32(normal(seed + blocks.size, mean, deviation), dtype));
    blocks.set(key, made);
    return made;
  };
  let offset = 0;
  return [...shapes].map(([name, shape]) => {
    const bytes = block(
      isLayerNormScale(name) ? 1 : 0,
      shape.length > 1 && !name.includes("embed") ? inputs(shape) ** -0.5 : 0.02,
    );
    const width = bitsOf(dtype) / 8;
    // Every tensor begins elsewhere in the block.
    offset = (offset + 104_729) % BLOCK;
    const size = sizeOf(shape) * width;
    return { name, dtype, shape, source: repeating(name, bytes, offset * width, size), start: 0, end: size };
  });
}

/** Inputs of a linear layer [out, in] or a convolution [out, channels, height, width]. */
function inputs(shape: readonly number[]): number {
  return sizeOf(shape.slice(1));
}

function isLayerNormScale(name: string): boolean {
  return /(?:layer_norm\d|post_layernorm)\.weight$/.test(name);
}

/** A block of bytes, over and over, beginning at `offset`. */
function repeating(name: string, block: Uint8Array, offset: number, size: number): ByteSource {
  return {
    name,
    size,
    read: async (start, end) => {
      const bytes = new Uint8Array(end - start);
      for (let at = 0; at < bytes.length;) {
        const from = (offset + start + at) % block.length;
        const part = block.subarray(from, from + bytes.length - at);
        bytes.set(part, at);
        at += part.length;
      }
      return bytes;
    },
  };
}

/** Seeded normal numbers (mulberry32, Box and Muller). */
function normal(seed: number, mean: number, deviation: number): NdArray<"float32"> {
  let state = seed;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const data = new Float32Array(BLOCK);
  for (let i = 0; i < BLOCK; i++) {
    data[i] = mean + deviation * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  }
  return { dtype: "float32", shape: [BLOCK], data };
}

function bytesOf({ data }: NdArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
