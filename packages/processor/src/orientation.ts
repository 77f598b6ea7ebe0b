import type { ImageFormat } from "./format.ts";
import type { ImageLike } from "./image.ts";

/** The EXIF orientation of a file (1 to 8), and the byte of the file that holds it. */
export interface Orientation {
  readonly value: number;
  readonly at: number;
}

const ORIENTATION_TAG = 0x0112;

/** The orientation that a JPEG or WebP asks for; undefined where it asks for none, or is too broken to say. */
export function findOrientation(bytes: Uint8Array, format: ImageFormat): Orientation | undefined {
  const start = format === "jpeg" ? exifOfJpeg(bytes) : format === "webp" ? exifOfWebp(bytes) : undefined;
  if (start === undefined) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fits = (at: number, length: number): boolean => at >= 0 && at + length <= bytes.length;
  if (!fits(start, 8)) return undefined;
  const little = view.getUint16(start) === 0x4949;
  const directory = start + view.getUint32(start + 4, little);
  if (!fits(directory, 2)) return undefined;
  const entries = view.getUint16(directory, little);
  for (let entry = directory + 2; entry < directory + 2 + entries * 12 && fits(entry, 12); entry += 12) {
    if (view.getUint16(entry, little) !== ORIENTATION_TAG) continue;
    const value = view.getUint16(entry + 8, little);
    return value >= 1 && value <= 8 ? { value, at: entry + (little ? 8 : 9) } : undefined;
  }
  return undefined;
}

function exifOfJpeg(bytes: Uint8Array): number | undefined {
  for (let at = 2; at + 10 < bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda;) {
    if (bytes[at + 1] === 0xe1 && text(bytes, at + 4, 6) === "Exif\0\0") return at + 10;
    at += 2 + ((bytes[at + 2]! << 8) | bytes[at + 3]!);
  }
  return undefined;
}

function exifOfWebp(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= bytes.length;) {
    const size = view.getUint32(at + 4, true);
    if (text(bytes, at, 4) === "EXIF") return text(bytes, at + 8, 6) === "Exif\0\0" ? at + 14 : at + 8;
    at += 8 + size + (size & 1);
  }
  return undefined;
}

function text(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}

/** The picture turned as an orientation says: 2 mirrored, 3 upside down, 6 and 8 turned right and left, and so on. */
export function orient(image: ImageLike, orientation: number): ImageLike {
  if (orientation === 1) return image;
  const { data, width, height, channels } = image;
  const turned = orientation >= 5;
  const [newWidth, newHeight] = turned ? [height, width] : [width, height];
  const flipX = [2, 3, 7, 8].includes(orientation);
  const flipY = [3, 4, 6, 7].includes(orientation);
  const out = new Uint8Array(data.length);
  let to = 0;
  for (let y = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++) {
      const [column, row] = turned ? [y, x] : [x, y];
      const from = ((flipY ? height - 1 - row : row) * width + (flipX ? width - 1 - column : column)) * channels;
      for (let channel = 0; channel < channels; channel++) out[to++] = data[from + channel]!;
    }
  }
  return { data: out, width: newWidth, height: newHeight, channels };
}
