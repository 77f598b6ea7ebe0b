import type { CompressedRle, Rle } from "@paligemma/masks";
import { fromPixels, type ImageSize } from "@paligemma/parsers";
import { checkPixelBox } from "./check-objects.ts";
import { checkImagePath } from "./fields.ts";
import { badRecord, shown, type Origin, type Problem } from "./problems.ts";
import type { Outline, Reading, TrainingObject } from "./record.ts";

/** An element of a COCO file and the line on which it begins. */
export interface CocoElement {
  readonly value: unknown;
  readonly line: number;
}

/**
 * A COCO image with its annotations. Crowds (`iscrowd: 1`) are regions, not objects, and are left out. `categories` are
 * the names by id.
 */
export function readCocoImage(
  image: CocoElement,
  annotations: readonly CocoElement[],
  categories: ReadonlyMap<unknown, string>,
  file: string,
): Reading {
  const origin: Origin = { file, line: image.line };
  const problems: Problem[] = [];
  const fields = (isRecord(image.value) ? image.value : {}) as {
    file_name?: unknown;
    width?: unknown;
    height?: unknown;
  };
  if (typeof fields.file_name !== "string")
    problems.push({
      code: "field/missing",
      message: `the image has the file_name ${shown(fields.file_name)}; it must be a text`,
    });
  const path = typeof fields.file_name === "string" ? checkImagePath(fields.file_name, problems) : "";
  const size = { width: fields.width as number, height: fields.height as number };
  const sized = [size.width, size.height].every((edge) => Number.isInteger(edge) && edge > 0);
  if (!sized)
    problems.push({
      code: "image/size",
      message: `the image has ${shown(size.width)} × ${shown(size.height)} pixels; whole numbers from 1 are needed`,
    });
  const objects = sized
    ? annotations.flatMap((annotation) => readAnnotation(annotation, size, categories, problems))
    : [];
  if (problems.length > 0) return { bad: badRecord(origin, problems, JSON.stringify(image.value)) };
  return { record: { origin, image: path, size, content: { kind: "objects", objects } } };
}

function readAnnotation(
  { value, line }: CocoElement,
  size: ImageSize,
  categories: ReadonlyMap<unknown, string>,
  problems: Problem[],
): TrainingObject[] {
  const fields = (isRecord(value) ? value : {}) as {
    bbox?: unknown;
    category_id?: unknown;
    iscrowd?: unknown;
    segmentation?: unknown;
  };
  if (fields.iscrowd === 1) return [];
  const label = categories.get(fields.category_id);
  if (label === undefined)
    problems.push({
      code: "label/unknown",
      message: `the annotation has the category_id ${shown(fields.category_id)}, which is none of the categories`,
      line,
    });
  const { bbox } = fields;
  if (!Array.isArray(bbox) || bbox.length !== 4) {
    problems.push({
      code: "box/numbers",
      message: `the annotation has the bbox ${shown(bbox)}; it must be [x, y, width, height]`,
      line,
    });
    return [];
  }
  const [x, y, width, height] = bbox as [number, number, number, number];
  const pixels = { yMin: y, xMin: x, yMax: y + height, xMax: x + width };
  const wrong = checkPixelBox(pixels, size);
  problems.push(...wrong.map((problem) => ({ ...problem, line })));
  const outline = readOutline(fields.segmentation, size, line, problems);
  if (wrong.length > 0 || label === undefined) return [];
  return [{ label, box: fromPixels(pixels, size), outline, line }];
}

/** COCO's `segmentation`: polygons in pixels, or run lengths; an empty list is none. */
function readOutline(segmentation: unknown, size: ImageSize, line: number, problems: Problem[]): Outline | undefined {
  if (segmentation === undefined || segmentation === null) return undefined;
  if (Array.isArray(segmentation)) {
    if (segmentation.length === 0) return undefined;
    const rings = segmentation as unknown[];
    const right = rings.every(
      (ring) =>
        Array.isArray(ring) &&
        ring.length >= 6 &&
        ring.length % 2 === 0 &&
        ring.every((value) => typeof value === "number" && Number.isFinite(value)),
    );
    if (right)
      return {
        polygons: (rings as number[][]).map((ring) =>
          ring.map((value, i) => value / (i % 2 === 0 ? size.width : size.height)),
        ),
      };
  } else if (isRecord(segmentation)) {
    const { counts, size: extent } = segmentation as { counts?: unknown; size?: unknown };
    const runs =
      typeof counts === "string" ||
      (Array.isArray(counts) && counts.every((run) => Number.isInteger(run) && (run as number) >= 0));
    if (runs && Array.isArray(extent) && extent.length === 2 && extent.every(Number.isInteger))
      return { rle: segmentation as unknown as Rle | CompressedRle };
  }
  problems.push({
    code: "mask/broken",
    message: `the segmentation ${shown(segmentation)} is neither polygons of three corners or more nor run lengths with a size`,
    line,
  });
  return undefined;
}

/** Names of COCO's categories by id, in the order of the file; problems where an entry has no id or name, or repeats one. */
export function readCocoCategories(elements: readonly CocoElement[]): {
  readonly names: ReadonlyMap<unknown, string>;
  readonly problems: readonly Problem[];
} {
  const names = new Map<unknown, string>();
  const problems: Problem[] = [];
  for (const { value, line } of elements) {
    const { id, name } = (isRecord(value) ? value : {}) as { id?: unknown; name?: unknown };
    if (id === undefined || typeof name !== "string" || names.has(id))
      problems.push({
        code: "field/type",
        message: `the category ${shown(value)} needs an id of its own and a name`,
        line,
      });
    else names.set(id, name);
  }
  return { names, problems };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
