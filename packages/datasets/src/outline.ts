import { maskFromPolygons, maskFromRle, type Mask } from "@paligemma/masks";
import type { ImageSize } from "@paligemma/parsers";
import type { Outline } from "./record.ts";

/** The mask that an outline means, for a picture of `size`; run lengths have a size of their own. Throws `masks/polygon` or `masks/rle`. */
export function outlineMask(outline: Outline, size: ImageSize): Mask {
  if ("rle" in outline) return maskFromRle(outline.rle);
  const inPixels = (ring: readonly number[]): number[] =>
    ring.map((value, i) => value * (i % 2 === 0 ? size.width : size.height));
  return maskFromPolygons(outline.polygons.map(inPixels), size);
}
