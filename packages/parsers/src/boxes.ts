import { PaliGemmaError } from "./errors.ts";

/** A rectangle, y first as the model writes it. In a `Detection` the unit is the image (0 to 1), in `pixels` one pixel. */
export interface Box {
  readonly yMin: number;
  readonly xMin: number;
  readonly yMax: number;
  readonly xMax: number;
}

/** Size of the *original* image in pixels, before it was squashed to the model's square. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** What to do with fractions of a pixel; `truncate` is what the reference evaluator does. */
export type PixelRounding = "exact" | "truncate" | "round";

/** A normalised box in pixels of `image`: y times the height, x times the width. Throws `parsers/image` for an impossible size. */
export function toPixels(box: Box, image: ImageSize, rounding: PixelRounding = "exact"): Box {
  const { width, height } = checkedSize(image);
  const snap = rounding === "exact" ? (v: number) => v : rounding === "truncate" ? Math.trunc : Math.round;
  return {
    yMin: snap(box.yMin * height),
    xMin: snap(box.xMin * width),
    yMax: snap(box.yMax * height),
    xMax: snap(box.xMax * width),
  };
}

/** A pixel box as fractions of `image`; the inverse of `toPixels` without rounding. Throws `parsers/image`. */
export function fromPixels(box: Box, image: ImageSize): Box {
  const { width, height } = checkedSize(image);
  return { yMin: box.yMin / height, xMin: box.xMin / width, yMax: box.yMax / height, xMax: box.xMax / width };
}

/** True where the box has an inside: a model may write corners in the wrong order, which the reference scores as wrong. */
export function isValidBox(box: Box): boolean {
  return box.yMax > box.yMin && box.xMax > box.xMin;
}

/** Area in squared units of the box; 0 where it is not valid. */
export function boxArea(box: Box): number {
  return isValidBox(box) ? (box.yMax - box.yMin) * (box.xMax - box.xMin) : 0;
}

/** Intersection over union of two boxes in the same unit, 0 to 1; 0 where either is not valid. */
export function boxIou(a: Box, b: Box): number {
  const overlap = boxArea({
    yMin: Math.max(a.yMin, b.yMin),
    xMin: Math.max(a.xMin, b.xMin),
    yMax: Math.min(a.yMax, b.yMax),
    xMax: Math.min(a.xMax, b.xMax),
  });
  const union = boxArea(a) + boxArea(b) - overlap;
  return isValidBox(a) && isValidBox(b) && union > 0 ? overlap / union : 0;
}

function checkedSize(image: ImageSize): ImageSize {
  if (image.width > 0 && image.height > 0 && Number.isFinite(image.width) && Number.isFinite(image.height))
    return image;
  throw new PaliGemmaError(
    "parsers/image",
    `an image of ${image.width} × ${image.height} pixels has no size; give { width, height } of the original picture`,
  );
}
