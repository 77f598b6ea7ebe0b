import { PaliGemmaError } from "@paligemma/core";
import type { MaskCodec } from "./codec.ts";
import { maskBox, type Mask } from "./mask.ts";
import { placeMask, rasterFromMask, type ImageSize, type NormalisedBox, type PlaceMaskOptions } from "./place.ts";

/** What a `segment` answer says about an object; a segment of `@paligemma/parsers` is one. */
export interface CodedObject {
  readonly label: string;
  readonly box: NormalisedBox;
  readonly codes: readonly number[];
}

/** An object with its mask; `raster` is the codec's own output, for `placeSoftMask` and drawing. */
export type Segment<T extends CodedObject = CodedObject> = T & { readonly mask: Mask; readonly raster: Float32Array };

/** Objects with their masks, decoded together. Boxes that are inside out give empty masks. Throws `masks/codes`. */
export function decodeSegments<T extends CodedObject>(
  codec: MaskCodec,
  objects: readonly T[],
  image: ImageSize,
  options: PlaceMaskOptions = {},
): Segment<T>[] {
  return placeSegments(codec.decode(objects.map((object) => object.codes)), objects, image, options);
}

/** Objects with the masks of their rasters, for codecs that decode elsewhere, such as on a graphics card. */
export function placeSegments<T extends CodedObject>(
  rasters: readonly Float32Array[],
  objects: readonly T[],
  image: ImageSize,
  options: PlaceMaskOptions = {},
): Segment<T>[] {
  return objects.map((object, i) => ({
    ...object,
    mask: placeMask(rasters[i]!, object.box, image, options),
    raster: rasters[i]!,
  }));
}

/** An object of a training example. */
export interface MaskedObject {
  readonly label: string;
  /** Mask of the whole image. */
  readonly mask: Mask;
  /** Default: the smallest box around the mask. */
  readonly box?: NormalisedBox;
}

/**
 * Objects with their codes, ready for `formatDetections`, encoded together. Throws `masks/empty` for a mask with nothing
 * inside, `masks/box` for a box that covers no pixel, `masks/encoder` for a codec that cannot encode.
 */
export function encodeSegments(codec: MaskCodec, objects: readonly MaskedObject[]): CodedObject[] {
  const boxes = objects.map(({ mask, box, label }) => {
    const found = box ?? maskBox(mask);
    if (found === undefined)
      throw new PaliGemmaError(
        "masks/empty",
        `the mask of ${JSON.stringify(label)} has nothing inside; leave such objects out`,
      );
    return found;
  });
  const codes = codec.encode(objects.map(({ mask }, i) => rasterFromMask(mask, boxes[i]!)));
  return objects.map(({ label }, i) => ({ label, box: boxes[i]!, codes: codes[i]! }));
}
