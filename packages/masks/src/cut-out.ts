import { PaliGemmaError } from "@paligemma/core";
import { maskBounds, type Mask, type SoftMask } from "./mask.ts";

/** Pixels of a picture, interleaved bytes: grey (1), grey and alpha (2), RGB (3) or RGBA (4). */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 2 | 3 | 4;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** Pixels with transparency. */
export interface RgbaPixels {
  readonly width: number;
  readonly height: number;
  readonly channels: 4;
  readonly data: Uint8Array;
}

/** How to cut out. */
export interface CutOutOptions {
  /** Keep only the smallest rectangle around the mask. Default false. A mask with nothing inside is not cropped. */
  readonly crop?: boolean;
}

/**
 * The picture, transparent outside the mask; a soft mask gives soft edges, and transparency that was there is kept.
 * Throws `masks/size` where picture and mask differ in size.
 */
export function cutOut(image: Pixels, mask: Mask | SoftMask, options: CutOutOptions = {}): RgbaPixels {
  const { width, height, channels, data } = image;
  if (mask.width !== width || mask.height !== height || data.length !== width * height * channels) {
    throw new PaliGemmaError(
      "masks/size",
      `a picture of ${width} × ${height} with ${data.length} bytes in ${channels} channels, and a mask of ${mask.width} × ${mask.height}; both must have the picture's size`,
    );
  }
  const binary: Mask = { width, height, data: Uint8Array.from(mask.data, (value) => (value > 0 ? 1 : 0)) };
  const whole = { left: 0, top: 0, right: width, bottom: height };
  const { left, top, right, bottom } = options.crop ? (maskBounds(binary) ?? whole) : whole;
  const out = new Uint8Array((right - left) * (bottom - top) * 4);
  const isColour = channels >= 3;
  for (let y = top, o = 0; y < bottom; y++) {
    for (let x = left; x < right; x++, o += 4) {
      const pixel = y * width + x;
      const i = pixel * channels;
      out[o] = data[i]!;
      out[o + 1] = data[isColour ? i + 1 : i]!;
      out[o + 2] = data[isColour ? i + 2 : i]!;
      const alpha = channels === 4 ? data[i + 3]! : channels === 2 ? data[i + 1]! : 255;
      out[o + 3] = Math.round(alpha * Math.min(mask.data[pixel]!, 1));
    }
  }
  return { width: right - left, height: bottom - top, channels: 4, data: out };
}
