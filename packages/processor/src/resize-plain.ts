import { coefficients, PRECISION_BITS, type Coefficients } from "./coefficients.ts";
import type { ImageLike } from "./image.ts";
import type { Filter } from "./kernels.ts";

/**
 * The image at another size, in plain TypeScript: any number of channels, and what the vector version is tested by.
 * Horizontal first, rounded to bytes between the passes; a pass without change is left out.
 */
export function resizePlain(image: ImageLike, width: number, height: number, filter: Filter): ImageLike {
  let result = image;
  if (width !== result.width) result = horizontal(result, coefficients(result.width, width, filter), width);
  if (height !== result.height) result = vertical(result, coefficients(result.height, height, filter), height);
  return result;
}

const HALF = 1 << (PRECISION_BITS - 1);

function horizontal(image: ImageLike, { taps, first, count, weights }: Coefficients, width: number): ImageLike {
  const { data, height, channels } = image;
  const out = new Uint8ClampedArray(width * height * channels);
  for (let y = 0, to = 0; y < height; y++) {
    const row = y * image.width * channels;
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < channels; channel++, to++) {
        let sum = HALF;
        const end = x * taps + count[x]!;
        for (let k = x * taps, from = row + first[x]! * channels + channel; k < end; k++, from += channels) {
          sum = (sum + Math.imul(weights[k]!, data[from]!)) | 0;
        }
        out[to] = sum >> PRECISION_BITS;
      }
    }
  }
  return { data: bytes(out), width, height, channels };
}

function vertical(image: ImageLike, { taps, first, count, weights }: Coefficients, height: number): ImageLike {
  const { data, width, channels } = image;
  const stride = width * channels;
  const out = new Uint8ClampedArray(stride * height);
  const sums = new Int32Array(stride);
  for (let y = 0; y < height; y++) {
    sums.fill(HALF);
    for (let t = 0; t < count[y]!; t++) {
      const weight = weights[y * taps + t]!;
      const row = (first[y]! + t) * stride;
      for (let i = 0; i < stride; i++) sums[i] = sums[i]! + Math.imul(weight, data[row + i]!);
    }
    for (let i = 0, to = y * stride; i < stride; i++, to++) out[to] = sums[i]! >> PRECISION_BITS;
  }
  return { data: bytes(out), width, height, channels };
}

function bytes(clamped: Uint8ClampedArray): Uint8Array {
  return new Uint8Array(clamped.buffer, clamped.byteOffset, clamped.length);
}
