import { PaliGemmaError } from "@paligemma/core";
import {
  checkEncodedSize,
  checkPixelCount,
  decodeSettings,
  type DecodeImageOptions,
  type DecodeSettings,
} from "../decode-options.ts";
import { gifToRgb, imageFormat, type ImageFormat } from "../format.ts";
import { toRgb, type ImageLike } from "../image.ts";
import { jpegComponents } from "../jpeg.ts";
import { findOrientation, orient } from "../orientation.ts";
import { readPixels } from "./read-pixels.ts";

/** An encoded image, or anything that `createImageBitmap` takes: a canvas, an `<img>`, a video frame, `ImageData`. */
export type BrowserImageSource = Uint8Array | ArrayBuffer | ImageBitmapSource;

/**
 * Pixels of an image as the platform decodes it, without colour management and without premultiplied alpha: for JPEG,
 * PNG and WebP the same bytes as `decodeImage` of `@paligemma/processor/node`. Alpha is dropped without compositing.
 * Throws `processor/decode` for what the browser cannot read or reads otherwise (CMYK, grey of 16 bits with
 * `grey16: "clip"`), `processor/decode-limit` for what is too large,
 * `processor/option` for `orientation: "ignore"` of a PNG or AVIF, which browsers always turn.
 */
export async function decodeImage(source: BrowserImageSource, options: DecodeImageOptions = {}): Promise<ImageLike> {
  const settings = decodeSettings(options);
  settings.signal?.throwIfAborted();
  if (source instanceof Uint8Array || source instanceof ArrayBuffer || source instanceof Blob)
    return decodeFile(source, settings);
  if (!(source instanceof ImageData)) return decodeBitmap(source, settings, toRgb);
  checkPixelCount(source.width, source.height, settings, "the image");
  const { data, width, height } = source;
  return toRgb({ data: new Uint8Array(data.buffer, data.byteOffset, data.length), width, height, channels: 4 });
}

async function decodeFile(source: Uint8Array | ArrayBuffer | Blob, settings: DecodeSettings): Promise<ImageLike> {
  const blob = source instanceof Blob ? source : new Blob([source as Uint8Array<ArrayBuffer> | ArrayBuffer]);
  checkEncodedSize(blob.size, settings, "the image");
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const format = imageFormat(bytes, "the image");
  refuseInexact(bytes, format, settings);
  if (format === "gif") return decodeBitmap(blob, settings, (rgba) => gifToRgb(rgba, bytes));
  // Browsers turn a JPEG and leave a WebP: what decides is here, so the file is given to them as upright.
  const orientation = findOrientation(bytes, format);
  if (orientation === undefined) return decodeBitmap(blob, settings, toRgb);
  bytes[orientation.at] = 1;
  const stored = await decodeBitmap(new Blob([bytes]), settings, toRgb);
  return settings.orientation === "apply" ? orient(stored, orientation.value) : stored;
}

async function decodeBitmap(
  source: ImageBitmapSource,
  settings: DecodeSettings,
  toColors: (rgba: ImageLike) => ImageLike,
): Promise<ImageLike> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(source, {
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
    const { width, height } = bitmap;
    checkPixelCount(width, height, settings, "the image");
    return toColors({ data: await readPixels(bitmap), width, height, channels: 4 });
  } finally {
    bitmap.close();
  }
}

function refuseInexact(bytes: Uint8Array, format: ImageFormat, { grey16, orientation }: DecodeSettings): void {
  if (orientation === "ignore" && (format === "png" || format === "avif")) {
    throw new PaliGemmaError(
      "processor/option",
      `orientation: "ignore" is not possible for ${format.toUpperCase()} in a browser, which always turns the picture as the file says; decode in Node, or leave the option out`,
    );
  }
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
