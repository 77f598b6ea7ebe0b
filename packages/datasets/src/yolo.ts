import { shown, type Problem } from "./problems.ts";
import type { TrainingObject } from "./record.ts";

/**
 * The objects of a YOLO label file: lines of `class centreX centreY width height`, or of `class x y x y …` with three
 * corners or more, all fractions of the picture. Mistakes name their line.
 */
export function readYoloLabels(
  text: string,
  classes: readonly string[],
): { readonly objects: readonly TrainingObject[]; readonly problems: readonly Problem[] } {
  const objects: TrainingObject[] = [];
  const problems: Problem[] = [];
  text.split(/\r?\n/).forEach((content, index) => {
    if (content.trim() === "") return;
    const line = index + 1;
    const read = readLine(content, classes);
    if ("code" in read) problems.push({ ...read, line });
    else objects.push({ ...read, line });
  });
  return { objects, problems };
}

function readLine(content: string, classes: readonly string[]): TrainingObject | Problem {
  const [name = "", ...texts] = content.trim().split(/\s+/);
  const numbers = texts.map((text) => (/^[-+.\deE]+$/.test(text) ? Number(text) : Number.NaN));
  const isPolygon = numbers.length >= 6 && numbers.length % 2 === 0;
  if (numbers.length !== 4 && !isPolygon)
    return {
      code: "box/numbers",
      message: `${numbers.length} numbers follow the class; a box has 4, an outline 6 or more, an even number`,
    };
  if (!numbers.every(Number.isFinite))
    return { code: "box/numbers", message: `${shown(content)} holds something that is no number` };
  const label = /^\d+$/.test(name) ? classes[Number(name)] : undefined;
  if (label === undefined)
    return { code: "label/unknown", message: `the class ${shown(name)} is none of 0 to ${classes.length - 1}` };
  if (isPolygon) return { label, box: boundsOf(numbers), outline: { polygons: [numbers] } };
  const [x, y, width, height] = numbers as [number, number, number, number];
  return { label, box: { yMin: y - height / 2, xMin: x - width / 2, yMax: y + height / 2, xMax: x + width / 2 } };
}

/** The smallest box around lines of x, y, x, y, … */
export function boundsOf(...rings: readonly (readonly number[])[]): TrainingObject["box"] {
  const box = { yMin: Infinity, xMin: Infinity, yMax: -Infinity, xMax: -Infinity };
  for (const ring of rings) {
    ring.forEach((value, i) => {
      if (i % 2 === 0) [box.xMin, box.xMax] = [Math.min(box.xMin, value), Math.max(box.xMax, value)];
      else [box.yMin, box.yMax] = [Math.min(box.yMin, value), Math.max(box.yMax, value)];
    });
  }
  return box;
}
