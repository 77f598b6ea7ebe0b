import type sharpDefault from "sharp";
import type { Sharp } from "sharp";
import { PaliGemmaError } from "@paligemma/core";
import { cmykToRgb } from "../cmyk.ts";
import { checkPixelCount, decodeSettings, type DecodeImageOptions, type DecodeSettings } from "../decode-options.ts";
import { gifToRgb, imageFormat, type ImageFormat } from "../format.ts";
import type { ImageLike } from "../image.ts";
import { jpegComponents } from "../jpeg.ts";
import { readSource, type ImageSource } from "./read-source.ts";

/**
 * Pixels of a JPEG, PNG, WebP, GIF (first frame), TIFF (first page) or AVIF: RGB bytes equal to those of Pillow 12's
 * `exif_transpose(Image.open(file)).convert("RGB")` except for AVIF, whose decoders differ in chroma. Alpha is dropped
 * without compositing. Throws `processor/decode` for what is no image, `processor/decode-limit` for what is too large,
 * `processor/sharp-missing` where sharp is not installed.
 */
export async function decodeImage(source: ImageSource, options: DecodeImageOptions = {}): Promise<ImageLike> {
  const settings = decodeSettings(options);
  settings.signal?.throwIfAborted();
  const { bytes, name } = await readSource(source, settings);
  const format = imageFormat(bytes, name);
  const sharp = await importSharp();
  try {
    return await decode(sharp, bytes, format, settings);
  } catch (error) {
    settings.signal?.throwIfAborted();
    const { message } = error as Error;
    if (message.includes("exceeds pixel limit")) {
      const { width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
      checkPixelCount(width, height, settings, name);
    }
    throw new PaliGemmaError("processor/decode", `${name} is a broken ${format} file: ${message}`, { cause: error });
  }
}

async function decode(
  sharp: typeof sharpDefault,
  bytes: Uint8Array,
  format: ImageFormat,
  settings: DecodeSettings,
): Promise<ImageLike> {
  const picture = open(sharp, bytes, settings);
  // A 16-bit PNG (byte 24) of colour type 0 (byte 25) is Pillow's mode I;16; types 2, 4 and 6 are not.
  const pngGrey16 = format === "png" && bytes[24] === 16 && bytes[25] === 0;
  const plain =
    format === "webp" || (format === "png" && !pngGrey16) || (format === "jpeg" && jpegComponents(bytes) !== 4);
  if (!plain) {
    // What the header says decides how to read these; the common ones above are spared reading it twice.
    const { space, channels, hasAlpha } = await picture.metadata();
    const grey16 = pngGrey16 || (space === "grey16" && channels === 1);
    if (grey16 && settings.grey16 === "clip") return decodeGrey16(picture);
    if (space === "cmyk" && settings.icc === "ignore") return decodeCmyk(picture);
    if (format === "gif" && hasAlpha) return gifToRgb(await toPixels(picture), bytes);
  }
  return toPixels(picture.removeAlpha());
}

function open(sharp: typeof sharpDefault, bytes: Uint8Array, { orientation, icc, maxPixels }: DecodeSettings): Sharp {
  // As Pillow does: warnings of a decoder pass, truncated files do not.
  return sharp(bytes, {
    limitInputPixels: maxPixels,
    failOn: "error",
    ignoreIcc: icc === "ignore",
    autoOrient: orientation === "apply",
  });
}

async function toPixels(picture: Sharp): Promise<ImageLike> {
  const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
  return { data: view(data), width: info.width, height: info.height, channels: info.channels };
}

async function decodeGrey16(picture: Sharp): Promise<ImageLike> {
  const { data, info } = await picture
    .toColourspace("grey16")
    .raw({ depth: "ushort" })
    .toBuffer({ resolveWithObject: true });
  const numbers = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
  const rgb = new Uint8Array(info.width * info.height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += info.channels, to += 3)
    rgb.fill(Math.min(numbers[from]!, 255), to, to + 3);
  return { data: rgb, width: info.width, height: info.height, channels: 3 };
}

async function decodeCmyk(picture: Sharp): Promise<ImageLike> {
  const inks = await toPixels(picture.pipelineColourspace("cmyk").toColourspace("cmyk"));
  return { ...inks, data: cmykToRgb(inks.data), channels: 3 };
}

function view(data: Buffer): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.length);
}

async function importSharp(): Promise<typeof sharpDefault> {
  try {
    return (await import("sharp")).default;
  } catch (cause) {
    throw new PaliGemmaError(
      "processor/sharp-missing",
      "decoding images in Node needs sharp, which does not load here. Run npm install sharp, or decode the file yourself and pass raw pixels.",
      { cause },
    );
  }
}
