import { isValidBox, toPixels, type ImageSize } from "./boxes.ts";
import type { Detection } from "./detections.ts";
import { PaliGemmaError } from "./errors.ts";

/** A mask in COCO's run lengths: column by column, starting with zeros; compressed to a string or not. */
export interface CocoRle {
  /** Height, width. */
  readonly size: readonly [number, number];
  readonly counts: string | readonly number[];
}

/** A detection with the outline of its mask in pixels, for the formats that hold outlines. */
export interface OutlinedDetection extends Detection {
  /** Closed lines, each x, y, x, y, … in pixels of the image. */
  readonly polygons?: readonly (readonly number[])[];
  /** The mask of the whole image; COCO prefers it over `polygons`. */
  readonly rle?: CocoRle;
}

/** An image with what was found in it. */
export interface AnnotatedImage extends ImageSize {
  readonly fileName: string;
  readonly detections: readonly OutlinedDetection[];
  /** COCO's image id; default: position in the list, from 1. */
  readonly id?: number;
}

/** COCO's annotation file. */
export interface CocoDataset {
  readonly images: readonly {
    readonly id: number;
    readonly file_name: string;
    readonly width: number;
    readonly height: number;
  }[];
  readonly annotations: readonly CocoAnnotation[];
  readonly categories: readonly { readonly id: number; readonly name: string }[];
}

/** One object in COCO's annotation file. */
export interface CocoAnnotation {
  readonly id: number;
  readonly image_id: number;
  readonly category_id: number;
  /** x, y, width, height in pixels. */
  readonly bbox: readonly [number, number, number, number];
  readonly area: number;
  readonly iscrowd: 0 | 1;
  readonly segmentation?: CocoRle | readonly (readonly number[])[];
}

/** One line of COCO's results file. */
export interface CocoResult {
  readonly image_id: number;
  readonly category_id: number;
  readonly bbox: readonly [number, number, number, number];
  readonly score: number;
  readonly segmentation?: CocoRle | readonly (readonly number[])[];
}

/**
 * Images and detections as a COCO annotation file. Category ids are positions in `categories` from 1; default: the
 * labels in order of appearance. Boxes that are inside out are left out. Throws `parsers/category` for a label that is
 * not among `categories`.
 */
export function toCoco(
  images: readonly AnnotatedImage[],
  categories: readonly string[] = labelsOf(images),
): CocoDataset {
  const annotations: CocoAnnotation[] = [];
  for (const { image, id, detection, category } of objectsOf(images, categories)) {
    const bbox = bboxOf(detection, image);
    annotations.push({
      id: annotations.length + 1,
      image_id: id,
      category_id: category + 1,
      bbox,
      area: areaOf(detection) ?? bbox[2] * bbox[3],
      iscrowd: 0,
      ...segmentationOf(detection),
    });
  }
  return {
    images: images.map(({ fileName, width, height, id }, i) => ({
      id: id ?? i + 1,
      file_name: fileName,
      width,
      height,
    })),
    annotations,
    categories: categories.map((name, i) => ({ id: i + 1, name })),
  };
}

/**
 * Detections as a COCO results file, for evaluation. Where a detection has no score, `missingScore` stands in: PaliGemma
 * gives none, and with equal scores the metric ranks by order. Throws `parsers/category`.
 */
export function toCocoResults(
  images: readonly AnnotatedImage[],
  categories: readonly string[],
  missingScore = 1,
): readonly CocoResult[] {
  return objectsOf(images, categories).map(({ image, id, detection, category }) => ({
    image_id: id,
    category_id: category + 1,
    bbox: bboxOf(detection, image),
    score: detection.score ?? missingScore,
    ...segmentationOf(detection),
  }));
}

/** Labels of all images, each once, in order of appearance. */
export function labelsOf(images: readonly AnnotatedImage[]): readonly string[] {
  return [...new Set(images.flatMap((image) => image.detections.map((detection) => detection.label)))];
}

/** Position of a label among the categories; throws `parsers/category`. */
export function categoryOf(label: string, categories: readonly string[]): number {
  const category = categories.indexOf(label);
  if (category >= 0) return category;
  throw new PaliGemmaError(
    "parsers/category",
    `the label ${JSON.stringify(label)} is not among the categories ${JSON.stringify(categories.slice(0, 20))}; add it, or drop its detections`,
  );
}

function objectsOf(
  images: readonly AnnotatedImage[],
  categories: readonly string[],
): { image: AnnotatedImage; id: number; detection: OutlinedDetection; category: number }[] {
  return images.flatMap((image, i) =>
    image.detections
      .filter((detection) => isValidBox(detection.box))
      .map((detection) => ({
        image,
        id: image.id ?? i + 1,
        detection,
        category: categoryOf(detection.label, categories),
      })),
  );
}

function bboxOf(detection: Detection, image: ImageSize): [number, number, number, number] {
  const { xMin, yMin, xMax, yMax } = toPixels(detection.box, image);
  return [xMin, yMin, xMax - xMin, yMax - yMin];
}

function segmentationOf({ rle, polygons }: OutlinedDetection): {
  segmentation?: CocoRle | readonly (readonly number[])[];
} {
  const segmentation = rle ?? polygons;
  return segmentation === undefined ? {} : { segmentation };
}

/** Area of the mask in pixels, where there is one that can be counted without decoding. */
function areaOf({ rle, polygons }: OutlinedDetection): number | undefined {
  if (rle !== undefined) {
    return typeof rle.counts === "string"
      ? undefined
      : rle.counts.reduce((area, run, i) => (i % 2 === 1 ? area + run : area), 0);
  }
  if (polygons === undefined) return undefined;
  return Math.abs(polygons.reduce((area, line) => area + shoelace(line), 0));
}

function shoelace(line: readonly number[]): number {
  let twice = 0;
  for (let i = 0; i < line.length; i += 2) {
    const [x, y] = [line[i]!, line[i + 1]!];
    const [nextX, nextY] = [line[(i + 2) % line.length]!, line[(i + 3) % line.length]!];
    twice += x * nextY - nextX * y;
  }
  return twice / 2;
}
