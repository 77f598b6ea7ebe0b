import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { ImageSize } from "@paligemma/parsers";
import { MAX_PIXELS } from "@paligemma/processor";
import sharp from "sharp";
import { shown, type Problem } from "../problems.ts";
import type { TrainingRecord } from "../record.ts";

/** A picture's file, and its pixels turned upright; or what is wrong with it. */
export type CheckedImage = { readonly path: string; readonly size: ImageSize } | { readonly problem: Problem };

/** Looks at a record's picture: that it is there, what its header says, and whether the record says the same. */
export async function checkImage(record: TrainingRecord, images: string): Promise<CheckedImage> {
  const path = join(images, record.image);
  const info = await stat(path).catch(() => undefined);
  if (!info?.isFile())
    return { problem: { code: "image/not-found", message: `the image ${shown(record.image)} is not in ${images}` } };
  try {
    const { autoOrient } = await sharp(path, { limitInputPixels: false }).metadata();
    const problem =
      autoOrient.width * autoOrient.height > MAX_PIXELS
        ? tooLarge(record, autoOrient)
        : compareSize(record, autoOrient);
    return problem ? { problem } : { path, size: { width: autoOrient.width, height: autoOrient.height } };
  } catch {
    return { problem: unreadable(record) };
  }
}

/** The mistake of a picture that cannot be decoded. What the decoder says is left out: it differs from run to run. */
export function unreadable({ image }: TrainingRecord): Problem {
  return {
    code: "image/unreadable",
    message: `the image ${shown(image)} cannot be decoded; is the file whole, and JPEG, PNG, WebP, GIF, TIFF or AVIF?`,
  };
}

function tooLarge({ image }: TrainingRecord, { width, height }: ImageSize): Problem {
  return {
    code: "image/size",
    message: `the image ${shown(image)} has ${width} × ${height} pixels, more than the ${MAX_PIXELS} that are decoded; make it smaller`,
  };
}

/** The mistake of a record that gives its picture another size than it has. */
export function compareSize({ image, size }: TrainingRecord, actual: ImageSize): Problem | undefined {
  if (!size || (size.width === actual.width && size.height === actual.height)) return undefined;
  const turned =
    size.width === actual.height && size.height === actual.width ? "; was it turned after it was annotated?" : "";
  return {
    code: "image/size-differs",
    message: `the image ${shown(image)} has ${actual.width} × ${actual.height} pixels, its annotation says ${size.width} × ${size.height}${turned}`,
  };
}
