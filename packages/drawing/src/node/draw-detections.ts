import sharp, { type OutputInfo } from "sharp";
import { PaliGemmaError } from "../errors.ts";
import { layoutDrawing, type DrawnObject, type LayoutOptions } from "../layout.ts";
import { toSvg } from "../svg.ts";

/** How to draw; see `LayoutOptions`. */
export type DrawDetectionsOptions = LayoutOptions;

// The largest picture that is decoded: 16384 × 16384, about 1 GB of pixels. Larger headers are refused before decoding.
const MAX_PIXELS = 2 ** 28;

/**
 * PNG bytes of a picture with boxes, masks and labels drawn over it. `image` is an encoded picture that sharp can read
 * (JPEG, PNG, WebP, …); it is turned as its EXIF orientation says first, as the processor does.
 * Throws `drawing/image` for what is no picture, and what `layoutDrawing` throws.
 */
export async function drawDetections(
  image: Uint8Array,
  detections: readonly DrawnObject[],
  options: DrawDetectionsOptions = {},
): Promise<Uint8Array> {
  const { data, info } = await decode(image);
  const { width, height, channels } = info;
  const svg = toSvg(layoutDrawing(detections, { width, height }, options));
  return sharp(data, { raw: { width, height, channels }, limitInputPixels: MAX_PIXELS })
    .composite([{ input: Buffer.from(svg), unlimited: true }])
    .png()
    .toBuffer();
}

async function decode(image: Uint8Array): Promise<{ data: Buffer; info: OutputInfo }> {
  try {
    const upright = sharp(image, { limitInputPixels: MAX_PIXELS }).autoOrient().toColourspace("srgb");
    return await upright.raw().toBuffer({ resolveWithObject: true });
  } catch (cause) {
    const what = `${image.length} bytes cannot be read as a picture. Is the file whole, and JPEG, PNG or WebP?`;
    throw new PaliGemmaError("drawing/image", what, { cause });
  }
}
