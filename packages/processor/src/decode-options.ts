import { PaliGemmaError, unknownKeys } from "@paligemma/core";
import { MAX_PIXELS } from "./image.ts";

/** How encoded images become pixels; the defaults are what the reference does with a file (Pillow). */
export interface DecodeImageOptions {
  /** `"apply"` (default) turns the picture as its EXIF orientation says, `"ignore"` leaves the rows as stored. */
  readonly orientation?: "apply" | "ignore" | undefined;
  /** `"ignore"` (default) takes the numbers as stored, `"srgb"` converts an embedded colour profile to sRGB. */
  readonly icc?: "ignore" | "srgb" | undefined;
  /** Grey of 16 bits: `"clip"` (default) as Pillow's `convert("RGB")`, where all above 255 is white; `"scale"` divides by 256. */
  readonly grey16?: "clip" | "scale" | undefined;
  /** The most encoded bytes; 256 MiB when absent. */
  readonly maxBytes?: number | undefined;
  /** The most pixels; `MAX_PIXELS` when absent, and never more. */
  readonly maxPixels?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The most bytes of an encoded image: several times a camera's raw-sized TIFF, and a bound for what is read into memory. */
export const MAX_ENCODED_BYTES = 268_435_456;

/** Decode options with nothing left open. */
export interface DecodeSettings {
  readonly orientation: "apply" | "ignore";
  readonly icc: "ignore" | "srgb";
  readonly grey16: "clip" | "scale";
  readonly maxBytes: number;
  readonly maxPixels: number;
  readonly signal: AbortSignal | undefined;
}

/** Checks the options; throws `processor/option`. */
export function decodeSettings(options: DecodeImageOptions): DecodeSettings {
  const known = ["orientation", "icc", "grey16", "maxBytes", "maxPixels", "signal"];
  const unknown = unknownKeys(options, known);
  if (unknown.length > 0)
    throw new PaliGemmaError(
      "processor/option",
      `decodeImage has no option ${unknown.map(({ key }) => key).join(", ")}; it has ${known.join(", ")}`,
    );
  const {
    orientation = "apply",
    icc = "ignore",
    grey16 = "clip",
    maxBytes = MAX_ENCODED_BYTES,
    maxPixels = MAX_PIXELS,
    signal,
  } = options;
  for (const [name, value, allowed] of [
    ["orientation", orientation, ["apply", "ignore"]],
    ["icc", icc, ["ignore", "srgb"]],
    ["grey16", grey16, ["clip", "scale"]],
  ] as const) {
    if (!(allowed as readonly string[]).includes(value))
      throw new PaliGemmaError(
        "processor/option",
        `${name} is ${JSON.stringify(value)}; it must be ${allowed.join(" or ")}`,
      );
  }
  for (const [name, value, most] of [
    ["maxBytes", maxBytes, 2 ** 31 - 1],
    ["maxPixels", maxPixels, MAX_PIXELS],
  ] as const) {
    if (!(Number.isInteger(value) && value >= 1 && value <= most))
      throw new PaliGemmaError("processor/option", `${name} is ${value}; it must be a whole number from 1 to ${most}`);
  }
  return { orientation, icc, grey16, maxBytes, maxPixels, signal };
}

/** Throws `processor/decode-limit` for an encoded image of too many bytes, `processor/decode` for an empty one. */
export function checkEncodedSize(bytes: number, { maxBytes }: DecodeSettings, name: string): void {
  if (bytes === 0)
    throw new PaliGemmaError("processor/decode", `${name} is empty (0 bytes). Was it written completely?`);
  if (bytes > maxBytes)
    throw new PaliGemmaError(
      "processor/decode-limit",
      `${name} has ${bytes} bytes, more than the ${maxBytes} allowed; raise maxBytes, or make the file smaller`,
    );
}

/** Throws `processor/decode-limit` for an image of too many pixels. */
export function checkPixelCount(width: number, height: number, { maxPixels }: DecodeSettings, name: string): void {
  if (width * height > maxPixels) {
    throw new PaliGemmaError(
      "processor/decode-limit",
      `${name} has ${width} × ${height} pixels, more than the ${maxPixels} allowed${maxPixels < MAX_PIXELS ? "; raise maxPixels" : ""}, or make the picture smaller`,
    );
  }
}
