import { PaliGemmaError } from "@paligemma/core";
import {
  checkEncodedSize,
  checkPixelCount,
  decodeSettings,
  type DecodeImageOptions,
  type DecodeSettings,
} from "../decode-options.ts";
import { imageFormat, type ImageFormat } from "../format.ts";
import { jpegComponents } from "../jpeg.ts";
import type { ImageLike } from "../image.ts";
import { readPixels } from "./read-pixels.ts";

/** An encoded image, or anything that `createImageBitmap` takes: a canvas, an `<img>`, a video frame, `ImageData`. */
export type BrowserImageSource = Uint8Array | ArrayBuffer | ImageBitmapSource;

/**
 * Pixels of an image as the platform decodes it, without colour management and without premultiplied alpha: for JPEG,
 * PNG and WebP the same bytes as `decodeImage` of `@paligemma/processor/node`. Alpha is dropped without compositing.
 * Throws `processor/decode` for what the browser cannot read or reads otherwise (CMYK, grey of 16 bits with
 * `grey16: "clip"`), `processor/decode-limit` for what is too large. Browsers always apply the EXIF orientation.
 */
export async function decodeImage(source: BrowserImageSource, options: DecodeImageOptions = {}): Promise<ImageLike> {
  const settings = decodeSettings(options);
  settings.signal?.throwIfAborted();
  if (settings.orientation === "ignore") {
    throw new PaliGemmaError(
      "processor/option",
      'orientation: "ignore" is not possible in a browser: it always turns the picture as its EXIF orientation says. Decode in Node, or leave the option out.',
    );
  }
  if (source instanceof ImageData) {
    checkPixelCount(source.width, source.height, settings, "the image");
    return dropAlpha(source.data, source.width, source.height);
  }
  const image = await toImageSource(source, settings);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(image, {
      colorSpaceConversion: settings.icc === "ignore" ? "none" : "default",
      premultiplyAlpha: "none",
    });
  } catch (cause) {
    settings.signal?.throwIfAborted();
    throw new PaliGemmaError("processor/decode", `the browser cannot decode the image: ${(cause as Error).message}`, {
      cause,
    });
  }
  try {
    settings.signal?.throwIfAborted();
    checkPixelCount(bitmap.width, bitmap.height, settings, "the image");
    const rgba = await readPixels(bitmap);
    return dropAlpha(rgba, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

async function toImageSource(
  source: Exclude<BrowserImageSource, ImageData>,
  settings: DecodeSettings,
): Promise<ImageBitmapSource> {
  if (!(source instanceof Uint8Array || source instanceof ArrayBuffer || source instanceof Blob)) return source;
  const blob = source instanceof Blob ? source : new Blob([source as Uint8Array<ArrayBuffer> | ArrayBuffer]);
  checkEncodedSize(blob.size, settings, "the image");
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const format = imageFormat(bytes, "the image");
  refuseInexact(bytes, format, settings);
  return blob;
}

function refuseInexact(bytes: Uint8Array, format: ImageFormat, { grey16 }: DecodeSettings): void {
  if (format === "jpeg" && jpegComponents(bytes) === 4) {
    throw new PaliGemmaError(
      "processor/decode",
      "the image is a CMYK JPEG, which browsers convert in their own ways; convert it to RGB, or decode it in Node",
    );
  }
  // PNG header: bit depth in byte 24, colour type in byte 25.
  if (format === "png" && bytes[24] === 16 && bytes[25] === 0 && grey16 === "clip") {
    throw new PaliGemmaError(
      "processor/decode",
      'the image is a grey PNG of 16 bits; a browser gives its upper 8 bits, not the clipped values of the reference. Pass grey16: "scale" to take them, or decode in Node.',
    );
  }
}

function dropAlpha(rgba: ArrayLike<number>, width: number, height: number): ImageLike {
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = rgba[from]!;
    rgb[to + 1] = rgba[from + 1]!;
    rgb[to + 2] = rgba[from + 2]!;
  }
  return { data: rgb, width, height, channels: 3 };
}
