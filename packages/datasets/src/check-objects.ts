import { PaliGemmaError } from "@paligemma/core";
import { formatDetections, type Box, type ImageSize } from "@paligemma/parsers";
import { shown, type Problem } from "./problems.ts";
import type { TrainingObject } from "./record.ts";

/** How far, in pixels, a corner may lie outside the picture before it is a mistake: annotation tools round. It is clipped when written. */
const TOLERANCE = 1;

/**
 * What is wrong with a box of pixels: not numbers, axes exchanged (it fits only the other way round), inverted, empty, or
 * outside the picture.
 */
export function checkPixelBox(box: Box, size: ImageSize): Omit<Problem, "line">[] {
  const { yMin, xMin, yMax, xMax } = box;
  const text = `the box y ${shown(yMin)}–${shown(yMax)}, x ${shown(xMin)}–${shown(xMax)}`;
  if (![yMin, xMin, yMax, xMax].every((value) => typeof value === "number" && Number.isFinite(value))) {
    return [{ code: "box/numbers", message: `${text} holds something that is no number` }];
  }
  const { width, height } = size;
  const fits = (x: number, y: number, w: number, h: number): boolean => x <= w + TOLERANCE && y <= h + TOLERANCE;
  if (yMax < yMin || xMax < xMin) return [{ code: "box/inverted", message: `${text} ends before it begins` }];
  if (yMax === yMin || xMax === xMin) return [{ code: "box/empty", message: `${text} has no inside` }];
  if (Math.min(yMin, xMin) >= -TOLERANCE && !fits(xMax, yMax, width, height) && fits(yMax, xMax, width, height)) {
    return [
      {
        code: "box/swapped-axes",
        message: `${text} fits the picture of ${width} × ${height} only with x and y exchanged`,
      },
    ];
  }
  if (Math.min(yMin, xMin) < -TOLERANCE || !fits(xMax, yMax, width, height)) {
    return [{ code: "box/outside", message: `${text} leaves the picture of ${width} × ${height}` }];
  }
  return [];
}

/** What is wrong with the labels of objects, and which objects stand there twice. */
export function checkObjects(objects: readonly TrainingObject[], classes: readonly string[] | undefined): Problem[] {
  const problems: Problem[] = [];
  const seen = new Set<string>();
  const known = classes && new Set(classes);
  for (const { label, box, line } of objects) {
    const at = line === undefined ? {} : { line };
    const wrong = checkLabel(label, known);
    if (wrong) problems.push({ ...wrong, ...at });
    const key = JSON.stringify([label, box]);
    if (seen.has(key))
      problems.push({
        code: "object/duplicate",
        message: `the object ${shown(label)} stands there twice with the same box`,
        ...at,
      });
    seen.add(key);
  }
  return problems;
}

/** What is wrong with a label: empty, not writable between boxes, or not among the classes. */
export function checkLabel(label: string, classes: ReadonlySet<string> | undefined): Problem | undefined {
  if (label.trim() === "") return { code: "label/empty", message: "an object has no label" };
  try {
    formatDetections([{ label, box: { yMin: 0, xMin: 0, yMax: 1, xMax: 1 } }]);
  } catch (error) {
    if (!(error instanceof PaliGemmaError || (error as Error).name === "PaliGemmaError")) throw error;
    return {
      code: "label/separator",
      message: `the label ${shown(label)} holds a separator, markup, or space at its ends; rename the class`,
    };
  }
  if (classes && !classes.has(label)) {
    return {
      code: "label/unknown",
      message: `the label ${shown(label)} is none of the ${classes.size} classes ${shown([...classes].slice(0, 8))}`,
    };
  }
  return undefined;
}
