import type sharpDefault from "sharp";
import type { Sharp } from "sharp";
import { PaliGemmaError } from "@paligemma/core";
import { cmykToRgb } from "../cmyk.ts";
import { checkPixelCount, decodeSettings, type DecodeImageOptions, type DecodeSettings } from "../decode-options.ts";
import { gifToRgb, imageFormat } from "../format.ts";
import type { ImageLike } from "../image.ts";
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
    const header = await sharp(bytes, { limitInputPixels: false }).metadata();
    checkPixelCount(header.width, header.height, settings, name);
    const picture = open(sharp, bytes, settings);
    // PNG colour type 0 (byte 25) of 16 bits is Pillow's mode I;16, also with a transparent value; types 2, 4 and 6 are not.
    const grey16 = header.space === "grey16" && (format === "png" ? bytes[25] === 0 : header.channels === 1);
    if (grey16 && settings.grey16 === "clip") return await decodeGrey16(picture);
    if (header.space === "cmyk" && settings.icc === "ignore") return await decodeCmyk(picture);
    if (format === "gif" && header.hasAlpha) return gifToRgb(await toPixels(picture), bytes);
    return await toPixels(picture.removeAlpha());
  } catch (error) {
    settings.signal?.throwIfAborted();
    if (error instanceof PaliGemmaError) throw error;
    throw new PaliGemmaError("processor/decode", `${name} is a broken ${format} file: ${(error as Error).message}`, {
      cause: error,
    });
  }
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
