import { PaliGemmaError } from "@paligemma/core";

/** A binary mask of an image or a part of it, 1 inside, row by row, [height, width]. */
export interface Mask {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** A mask with degrees: 0 outside to 1 inside, row by row, [height, width]. */
export interface SoftMask {
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array;
}

/** A rectangle of whole pixels; `right` and `bottom` are the first pixels outside. */
export interface PixelRectangle {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

// Larger pictures than this are refused elsewhere too; bounds the memory one mask may take to 256 MB.
const MAX_PIXELS = 2 ** 28;

/** A mask with nothing inside. Throws `masks/size`. */
export function emptyMask(width: number, height: number): Mask {
  checkSize(width, height);
  return { width, height, data: new Uint8Array(width * height) };
}

/** Inside where a soft mask exceeds `threshold`, default 0.5. */
export function toBinary(mask: SoftMask, threshold = 0.5): Mask {
  const { width, height, data } = mask;
  return { width, height, data: Uint8Array.from(data, (value) => (value > threshold ? 1 : 0)) };
}

/** Pixels inside. */
export function maskArea(mask: Mask): number {
  let area = 0;
  for (const value of mask.data) if (value) area++;
  return area;
}

/** The smallest rectangle around the inside; `undefined` where nothing is inside. */
export function maskBounds(mask: Mask): PixelRectangle | undefined {
  let [left, top, right, bottom] = [mask.width, mask.height, 0, 0];
  for (let y = 0, i = 0; y < mask.height; y++) {
    for (let x = 0; x < mask.width; x++, i++) {
      if (!mask.data[i]) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  return right === 0 ? undefined : { left, top, right, bottom };
}

/** `maskBounds` as fractions of the image, y first, as detections have it. */
export function maskBox(
  mask: Mask,
): { readonly yMin: number; readonly xMin: number; readonly yMax: number; readonly xMax: number } | undefined {
  const bounds = maskBounds(mask);
  if (bounds === undefined) return undefined;
  const { left, top, right, bottom } = bounds;
  return { yMin: top / mask.height, xMin: left / mask.width, yMax: bottom / mask.height, xMax: right / mask.width };
}

/** Pixels inside both. Throws `masks/size` for masks of different sizes. */
export function intersectionArea(a: Mask, b: Mask): number {
  checkSameSize(a, b);
  let area = 0;
  for (let i = 0; i < a.data.length; i++) if (a.data[i] && b.data[i]) area++;
  return area;
}

/** Intersection over union, 0 to 1; 0 for two empty masks. Throws `masks/size` for masks of different sizes. */
export function maskIou(a: Mask, b: Mask): number {
  const shared = intersectionArea(a, b);
  const union = maskArea(a) + maskArea(b) - shared;
  return union === 0 ? 0 : shared / union;
}

/** Inside wherever any of the masks is. Throws `masks/size` for masks of different sizes or none at all. */
export function unionMasks(masks: readonly Mask[]): Mask {
  const [first] = masks;
  if (first === undefined)
    throw new PaliGemmaError("masks/size", "the union of no masks has no size; start from emptyMask");
  const data = Uint8Array.from(first.data, (value) => (value ? 1 : 0));
  for (const mask of masks) {
    checkSameSize(first, mask);
    for (let i = 0; i < data.length; i++) if (mask.data[i]) data[i] = 1;
  }
  return { width: first.width, height: first.height, data };
}

/** One mask per label, inside wherever an object of that label is, in order of appearance. */
export function unionByLabel(
  objects: readonly { readonly label: string; readonly mask: Mask }[],
): ReadonlyMap<string, Mask> {
  const groups = new Map<string, Mask[]>();
  for (const { label, mask } of objects) {
    const group = groups.get(label);
    if (group === undefined) groups.set(label, [mask]);
    else group.push(mask);
  }
  return new Map([...groups].map(([label, masks]) => [label, unionMasks(masks)]));
}

/** Throws `masks/size` for sides that are no whole numbers, or too many pixels. */
export function checkSize(width: number, height: number): void {
  const areSides = [width, height].every((side) => Number.isInteger(side) && side >= 0);
  if (areSides && width * height <= MAX_PIXELS) return;
  throw new PaliGemmaError(
    "masks/size",
    `a mask of ${width} × ${height} pixels; sides are whole numbers, together at most ${MAX_PIXELS} pixels`,
  );
}

function checkSameSize(a: Mask, b: Mask): void {
  if (a.width === b.width && a.height === b.height) return;
  throw new PaliGemmaError(
    "masks/size",
    `a mask of ${a.width} × ${a.height} against one of ${b.width} × ${b.height}; masks are compared at the same size, such as the image's`,
  );
}
