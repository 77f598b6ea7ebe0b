import { ndArray, PaliGemmaError, type NdArray } from "@paligemma/core";
import { checkImage, type ImageLike } from "./image.ts";

/** How bytes become numbers: `(byte · rescaleFactor − mean) / std`, one mean and std per channel. */
export interface NormalizeOptions {
  /** `1/255` when absent; `undefined` together with `rescale: false` leaves bytes as numbers. */
  readonly rescaleFactor?: number;
  /** `[0.5, 0.5, 0.5]` when absent. */
  readonly mean?: readonly number[];
  /** `[0.5, 0.5, 0.5]` when absent. */
  readonly std?: readonly number[];
}

/**
 * The image as float32 numbers [channels, height, width], rounded step by step as numpy does in the reference: the
 * product in float64, then subtraction and division in float32. With the defaults bytes 0…255 become −1…1.
 */
export function normalize(image: ImageLike, options: NormalizeOptions = {}): NdArray<"float32"> {
  checkImage(image);
  const { data, width, height, channels } = image;
  const tables = byteTables(channels, options);
  const pixels = width * height;
  const out = new Float32Array(channels * pixels);
  writePlanes(data, tables, out, 0);
  return ndArray("float32", [channels, height, width], out);
}

/** The float32 of every byte value, one table per channel: 256 entries replace the arithmetic of millions of pixels. */
export function byteTables(channels: number, options: NormalizeOptions | undefined): readonly Float32Array[] {
  const { rescaleFactor = 1 / 255, mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5] } = options ?? {};
  for (const [name, values] of Object.entries({ mean, std })) {
    if (values.length !== channels && values.length !== 1) {
      throw new PaliGemmaError(
        "processor/option",
        `${name} has ${values.length} numbers, the image has ${channels} channels; give one number, or one per channel`,
      );
    }
  }
  return Array.from({ length: channels }, (_, channel) => {
    const m = Math.fround(mean[channel] ?? mean[0]!);
    const s = Math.fround(std[channel] ?? std[0]!);
    return Float32Array.from({ length: 256 }, (_byte, byte) => Math.fround(Math.fround(byte * rescaleFactor) - m) / s);
  });
}

/** Writes interleaved bytes [pixels, channels] as planes [channels, pixels] of table values into `out` from `offset` on. */
export function writePlanes(
  data: Uint8Array,
  tables: readonly Float32Array[],
  out: Float32Array,
  offset: number,
): void {
  const channels = tables.length;
  const pixels = data.length / channels;
  tables.forEach((table, channel) => {
    const plane = out.subarray(offset + channel * pixels, offset + (channel + 1) * pixels);
    for (let i = 0, from = channel; i < pixels; i++, from += channels) plane[i] = table[data[from]!]!;
  });
}
