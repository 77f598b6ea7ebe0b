import { PaliGemmaError } from "@paligemma/core";
import sharp, { type OutputInfo } from "sharp";
import { cutOut, type CutOutOptions, type Pixels } from "../cut-out.ts";
import type { Mask, SoftMask } from "../mask.ts";

// As in the drawing package: larger headers are refused before decoding.
const MAX_PIXELS = 2 ** 28;

/** A mask as a grey PNG: white inside, black outside, a soft mask's degrees between. */
export async function maskToPng(mask: Mask | SoftMask): Promise<Uint8Array> {
  const { width, height } = mask;
  const data = Uint8Array.from(mask.data, (value) => Math.round(Math.min(Math.max(value, 0), 1) * 255));
  return sharp(data, { raw: { width, height, channels: 1 }, limitInputPixels: MAX_PIXELS })
    .toColourspace("b-w")
    .png()
    .toBuffer();
}

/** A picture of a mask as a mask: inside where its first channel is not black, as the reference evaluator reads it. Throws `masks/image`. */
export async function maskFromImage(image: Uint8Array): Promise<Mask> {
  const { data, info } = await decode(image);
  const { width, height, channels } = info;
  return {
    width,
    height,
    data: Uint8Array.from({ length: width * height }, (_, i) => (data[i * channels]! > 0 ? 1 : 0)),
  };
}

/**
 * PNG bytes of an encoded picture, transparent outside the mask. The picture is turned as its EXIF orientation says first,
 * as the processor does. Throws `masks/image` or `masks/size`.
 */
export async function cutOutPng(
  image: Uint8Array,
  mask: Mask | SoftMask,
  options: CutOutOptions = {},
): Promise<Uint8Array> {
  const { data, info } = await decode(image);
  const { width, height, channels } = info;
  const pixels: Pixels = { width, height, channels, data };
  const cut = cutOut(pixels, mask, options);
  return sharp(cut.data, { raw: { width: cut.width, height: cut.height, channels: 4 }, limitInputPixels: MAX_PIXELS })
    .png()
    .toBuffer();
}

async function decode(image: Uint8Array): Promise<{ data: Buffer; info: OutputInfo }> {
  try {
    const upright = sharp(image, { limitInputPixels: MAX_PIXELS }).autoOrient().toColourspace("srgb");
    return await upright.raw().toBuffer({ resolveWithObject: true });
  } catch (cause) {
    throw new PaliGemmaError(
      "masks/image",
      `${image.length} bytes cannot be read as a picture. Is the file whole, and JPEG, PNG or WebP?`,
      { cause },
    );
  }
}
