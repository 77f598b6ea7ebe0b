import { PaliGemmaError, unknownKeys } from "@paligemma/core";
import { coefficients, PRECISION_BITS, type Coefficients } from "./coefficients.ts";
import { checkImage, MAX_EDGE, MAX_PIXELS, type ImageLike } from "./image.ts";
import { RESAMPLE_CODES, type Resample } from "./kernels.ts";

/** What `resize` makes of an image. */
export interface ResizeOptions {
  readonly width: number;
  readonly height: number;
  /** The kernel; `"bicubic"` when absent. */
  readonly resample?: Resample;
}

/**
 * The image at another size, bit-exact with Pillow 12's `Image.resize((width, height), resample)` of an image with
 * separate channels (`L`, `RGB`, `CMYK`); the aspect ratio is not kept. Alpha is a channel like any other.
 */
export function resize(image: ImageLike, options: ResizeOptions): ImageLike {
  checkImage(image);
  const { width, height, resample } = checkOptions(options);
  if (width === image.width && height === image.height) return { ...image, data: image.data.slice() };
  if (resample === "nearest") return nearestNeighbour(image, width, height);
  // Horizontal first, rounded to bytes between the passes; a pass without change is left out.
  let result = image;
  if (width !== result.width) result = horizontal(result, coefficients(result.width, width, resample), width);
  if (height !== result.height) result = vertical(result, coefficients(result.height, height, resample), height);
  return result;
}

function checkOptions(options: ResizeOptions): Required<ResizeOptions> {
  const unknown = unknownKeys(options, ["width", "height", "resample"]);
  if (unknown.length > 0)
    throw new PaliGemmaError(
      "processor/option",
      `resize has no option ${unknown.map(({ key }) => key).join(", ")}; it has width, height and resample`,
    );
  const { width, height, resample = "bicubic" } = options;
  if (
    ![width, height].every((edge) => Number.isInteger(edge) && edge >= 1 && edge <= MAX_EDGE) ||
    width * height > MAX_PIXELS
  ) {
    throw new PaliGemmaError(
      "processor/option",
      `the size to resize to is ${width} × ${height}; whole numbers from 1 to ${MAX_EDGE} with a product up to ${MAX_PIXELS} are possible`,
    );
  }
  if (!RESAMPLE_CODES.includes(resample)) {
    throw new PaliGemmaError(
      "processor/option",
      `there is no resample ${JSON.stringify(resample)}; there are ${RESAMPLE_CODES.join(", ")}`,
    );
  }
  return { width, height, resample };
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

function nearestNeighbour(image: ImageLike, width: number, height: number): ImageLike {
  const { data, channels } = image;
  const columns = sources(image.width, width);
  const rows = sources(image.height, height);
  const out = new Uint8Array(width * height * channels);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * image.width + column) * channels;
      for (let channel = 0; channel < channels; channel++) out[to++] = data[from + channel]!;
    }
  }
  return { data: out, width, height, channels };
}

/** Input index of each output index; Pillow adds the step up, and so its rounding errors, which must be the same. */
function sources(input: number, output: number): Int32Array {
  const step = input / output;
  const indices = new Int32Array(output);
  for (let i = 0, at = step * 0.5; i < output; i++, at += step) indices[i] = Math.min(Math.trunc(at), input - 1);
  return indices;
}

function bytes(clamped: Uint8ClampedArray): Uint8Array {
  return new Uint8Array(clamped.buffer, clamped.byteOffset, clamped.length);
}
