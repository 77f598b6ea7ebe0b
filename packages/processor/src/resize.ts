import { PaliGemmaError, unknownKeys } from "@paligemma/core";
import { checkImage, MAX_EDGE, MAX_PIXELS, type ImageLike } from "./image.ts";
import { RESAMPLE_CODES, type Resample } from "./kernels.ts";
import { resizePlain } from "./resize-plain.ts";
import { resizeVector } from "./resize-vector.ts";

/** What `resize` makes of an image. */
export interface ResizeOptions {
  readonly width: number;
  readonly height: number;
  /** The kernel; `"bicubic"` when absent. */
  readonly resample?: Resample;
}

/** The most bytes between the two passes (new width × old height): 1 GiB. */
const MAX_BETWEEN = 2 ** 30;

/**
 * The image at another size, bit-exact with Pillow 12's `Image.resize((width, height), resample)` of an image with
 * separate channels (`L`, `RGB`, `CMYK`); the aspect ratio is not kept. Alpha is a channel like any other. RGB is
 * computed by WebAssembly vectors where there are any, with the same result. Throws `processor/option` for a size or
 * kernel that is none, `processor/image` for what is no image.
 */
export function resize(image: ImageLike, options: ResizeOptions): ImageLike {
  checkImage(image);
  const { width, height, resample } = checkOptions(options);
  if (width === image.width && height === image.height) return { ...image, data: image.data.slice() };
  if (resample === "nearest") return nearestNeighbour(image, width, height);
  if (width * image.height * image.channels > MAX_BETWEEN) {
    throw new PaliGemmaError(
      "processor/option",
      `${image.width} × ${image.height} to ${width} × ${height} passes through ${width} × ${image.height} pixels, more than ${MAX_BETWEEN} bytes; resize in two steps, the height first`,
    );
  }
  return resizeVector(image, width, height, resample) ?? resizePlain(image, width, height, resample);
}

function checkOptions(options: ResizeOptions): Required<ResizeOptions> {
  const known = ["width", "height", "resample"];
  const unknown = unknownKeys(options, known);
  if (unknown.length > 0) {
    throw new PaliGemmaError(
      "processor/option",
      `resize has no option ${unknown.map(({ key }) => key).join(", ")}; it has ${known.join(", ")}`,
    );
  }
  const { width, height, resample = "bicubic" } = options;
  const edges = [width, height].every((edge) => Number.isInteger(edge) && edge >= 1 && edge <= MAX_EDGE);
  if (!edges || width * height > MAX_PIXELS) {
    throw new PaliGemmaError(
      "processor/option",
      `the size to resize to is ${width} × ${height}; whole numbers from 1 to ${MAX_EDGE} with a product up to ${MAX_PIXELS} are possible`,
    );
  }
  if (!RESAMPLE_CODES.includes(resample)) {
    throw new PaliGemmaError(
      "processor/option",
      `there is no resample ${JSON.stringify(resample)}; there are ${RESAMPLE_CODES.join(", ")}`,
    );
  }
  return { width, height, resample };
}

function nearestNeighbour(image: ImageLike, width: number, height: number): ImageLike {
  const { data, channels } = image;
  const columns = sources(image.width, width);
  const rows = sources(image.height, height);
  const out = new Uint8Array(width * height * channels);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * image.width + column) * channels;
      for (let channel = 0; channel < channels; channel++) out[to++] = data[from + channel]!;
    }
  }
  return { data: out, width, height, channels };
}

/** Input index of each output index; Pillow adds the step up, and so its rounding errors, which must be the same. */
function sources(input: number, output: number): Int32Array {
  const step = input / output;
  const indices = new Int32Array(output);
  for (let i = 0, at = step * 0.5; i < output; i++, at += step) indices[i] = Math.min(Math.trunc(at), input - 1);
  return indices;
}
