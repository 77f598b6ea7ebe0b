import { PaliGemmaError, unknownKeys } from "@paligemma/core";
import { RASTER_SIDE } from "./codec-layout.ts";
import { checkSize, toBinary, type Mask, type PixelRectangle, type SoftMask } from "./mask.ts";
import { resizeBicubicBytes, resizeBilinear, type Grid } from "./resample.ts";

/** Corners as fractions of the image, y first. */
export interface NormalisedBox {
  readonly yMin: number;
  readonly xMin: number;
  readonly yMax: number;
  readonly xMax: number;
}

/** Size of the original image in pixels. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/**
 * How a raster becomes pixels. `evaluator`: the box truncated to whole pixels, the raster resized as floats, inside
 * where positive; what scores are computed with. `demo`: the box rounded half to even, the raster as bytes, resized
 * bicubically; what the published demo shows (its boxes divide by 1024: parse them so).
 */
export type MaskSemantics = "evaluator" | "demo";

/** How to place a raster. */
export interface PlaceMaskOptions {
  /** Default `evaluator`. */
  readonly semantics?: MaskSemantics;
  /** `image` (default): a mask of the whole image; `box`: of the box alone, see `boxPixels`. */
  readonly extent?: "image" | "box";
}

const OPTIONS = ["semantics", "extent"];

/**
 * The whole pixels that a box covers under the given semantics, clipped to the image. Empty (`right <= left`) for boxes
 * that are inside out or thinner than a pixel. Throws `masks/box` for corners that are no numbers.
 */
export function boxPixels(
  box: NormalisedBox,
  image: ImageSize,
  semantics: MaskSemantics = "evaluator",
): PixelRectangle {
  const snap = semantics === "demo" ? roundHalfEven : Math.trunc;
  const pixel = (fraction: number, side: number): number => {
    if (!Number.isFinite(fraction))
      throw new PaliGemmaError(
        "masks/box",
        `the box ${JSON.stringify(box)} has a corner that is no number; corners are fractions of the image`,
      );
    return Math.min(Math.max(snap(fraction * side), 0), side);
  };
  return {
    left: pixel(box.xMin, image.width),
    top: pixel(box.yMin, image.height),
    right: pixel(box.xMax, image.width),
    bottom: pixel(box.yMax, image.height),
  };
}

/** A raster of the codec as a binary mask. Throws `masks/raster`, `masks/size`, `masks/box` or `masks/option`. */
export function placeMask(
  raster: Float32Array,
  box: NormalisedBox,
  image: ImageSize,
  options: PlaceMaskOptions = {},
): Mask {
  return toBinary(placeSoftMask(raster, box, image, options));
}

/**
 * A raster of the codec as a soft mask: 0.5 is its zero. With the evaluator's semantics values are 0.5 + raster / 2,
 * resized before they are clipped to 0 to 1, so that a threshold of 0.5 gives `placeMask` exactly.
 */
export function placeSoftMask(
  raster: Float32Array,
  box: NormalisedBox,
  image: ImageSize,
  options: PlaceMaskOptions = {},
): SoftMask {
  const [unknown] = unknownKeys(options, OPTIONS);
  if (unknown !== undefined)
    throw new PaliGemmaError("masks/option", `there is no option "${unknown.key}"; known: ${OPTIONS.join(", ")}`);
  if (raster.length !== RASTER_SIDE ** 2)
    throw new PaliGemmaError("masks/raster", `a raster has ${RASTER_SIDE ** 2} values, this one ${raster.length}`);
  const { semantics = "evaluator", extent = "image" } = options;
  const { left, top, right, bottom } = boxPixels(box, image, semantics);
  const [width, height] = [Math.max(right - left, 0), Math.max(bottom - top, 0)];
  checkSize(extent === "image" ? image.width : width, extent === "image" ? image.height : height);
  const isEmpty = width === 0 || height === 0;
  const inBox = isEmpty ? { width, height, data: new Float32Array(0) } : resizeRaster(raster, width, height, semantics);
  if (extent === "box") return inBox;
  const whole = new Float32Array(image.width * image.height);
  if (!isEmpty)
    for (let y = 0; y < height; y++)
      whole.set(inBox.data.subarray(y * width, (y + 1) * width), (top + y) * image.width + left);
  return { width: image.width, height: image.height, data: whole };
}

function resizeRaster(raster: Float32Array, width: number, height: number, semantics: MaskSemantics): SoftMask {
  const square = { width: RASTER_SIDE, height: RASTER_SIDE };
  if (semantics === "demo") {
    const bytes = Uint8Array.from(raster, (value) => Math.trunc(clip(0.5 * value + 0.5) * 255));
    const { data } = resizeBicubicBytes({ ...square, data: bytes }, width, height);
    return { width, height, data: Float32Array.from(data, (value) => value / 255) };
  }
  const { data } = resizeBilinear({ ...square, data: raster }, width, height);
  return { width, height, data: data.map(softened) };
}

/** float32 rounding must not lift a value of zero or less over 0.5, nor drop a positive one to it. */
function softened(value: number): number {
  const soft = Math.fround(clip(0.5 * value + 0.5));
  return value > 0 && soft <= 0.5 ? JUST_ABOVE_HALF : soft;
}

const JUST_ABOVE_HALF = 0.5 + 2 ** -24;

/**
 * A mask of the image as the encoder takes it, [64, 64] in −1 to 1: cropped to the box, corners rounded half to even,
 * resized with soft edges. Throws `masks/box` where the box covers no pixel.
 */
export function rasterFromMask(mask: Mask | SoftMask, box: NormalisedBox): Float32Array {
  const area = boxPixels(box, mask, "demo");
  const [width, height] = [area.right - area.left, area.bottom - area.top];
  if (width <= 0 || height <= 0) {
    throw new PaliGemmaError(
      "masks/box",
      `the box ${JSON.stringify(box)} covers no pixel of ${mask.width} × ${mask.height}; leave such objects out`,
    );
  }
  const crop = new Float32Array(width * height);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) crop[i] = mask.data[(area.top + y) * mask.width + area.left + x]!;
  }
  const grid: Grid<Float32Array> = resizeBilinear({ width, height, data: crop }, RASTER_SIDE, RASTER_SIDE);
  return grid.data.map((value) => value * 2 - 1);
}

function clip(value: number): number {
  return Math.min(Math.max(value, 0), 1);
}

function roundHalfEven(value: number): number {
  const low = Math.floor(value);
  const up = value - low > 0.5 || (value - low === 0.5 && low % 2 !== 0);
  return up ? low + 1 : low;
}
