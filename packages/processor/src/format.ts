import { PaliGemmaError } from "@paligemma/core";
import { toRgb, type ImageLike } from "./image.ts";

/** Encodings that are read. */
export type ImageFormat = "jpeg" | "png" | "webp" | "gif" | "tiff" | "avif";

const BRANDS = ["avif", "avis", "mif1", "msf1"];

/** The encoding by the first bytes; throws `processor/decode` for anything else, so that no decoder sees what it is not made for. */
export function imageFormat(bytes: Uint8Array, name: string): ImageFormat {
  const text = String.fromCharCode(...bytes.subarray(0, 12));
  if (text.startsWith("\xFF\xD8\xFF")) return "jpeg";
  if (text.startsWith("\x89PNG\r\n\x1A\n")) return "png";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "webp";
  if (text.startsWith("GIF87a") || text.startsWith("GIF89a")) return "gif";
  if (["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(text.slice(0, 4))) return "tiff";
  if (text.slice(4, 8) === "ftyp" && BRANDS.includes(text.slice(8, 12))) return "avif";
  throw new PaliGemmaError(
    "processor/decode",
    `${name} is no image that is read here: it begins with ${JSON.stringify(text.slice(0, 8))}. JPEG, PNG, WebP, GIF, TIFF and AVIF are read; convert other files first.`,
  );
}

/** The RGB of a GIF's RGBA pixels; transparent ones get their colour of the palette, where decoders give black. */
export function gifToRgb(rgba: ImageLike, bytes: Uint8Array): ImageLike {
  const [red, green, blue] = gifTransparentColor(bytes) ?? [0, 0, 0];
  const { data } = toRgb(rgba);
  for (let from = 3, to = 0; to < data.length; from += 4, to += 3) {
    if (rgba.data[from] !== 0) continue;
    data[to] = red;
    data[to + 1] = green;
    data[to + 2] = blue;
  }
  return { ...rgba, data, channels: 3 };
}

/** The palette's colour of transparent pixels; undefined in a broken file. */
function gifTransparentColor(bytes: Uint8Array): readonly [number, number, number] | undefined {
  const byte = (at: number): number => bytes[at] ?? 0;
  let table = 13;
  let at = byte(10) & 0x80 ? table + 3 * 2 ** ((byte(10) & 7) + 1) : table;
  let index = 0;
  while (at < bytes.length) {
    if (byte(at) === 0x21) {
      // A graphic control extension says which index is transparent; all extensions are chains of sub-blocks.
      if (byte(at + 1) === 0xf9 && byte(at + 3) & 1) index = byte(at + 6);
      at += 2;
      while (byte(at) !== 0) at += byte(at) + 1;
      at += 1;
    } else if (byte(at) === 0x2c) {
      if (byte(at + 9) & 0x80) table = at + 10;
      const color = table + 3 * index;
      return color + 2 < bytes.length ? [byte(color), byte(color + 1), byte(color + 2)] : undefined;
    } else return undefined;
  }
  return undefined;
}
