import { PaliGemmaError } from "./errors.ts";

/** x, y, width, height in pixels, as COCO has them. */
export type CocoBox = readonly [number, number, number, number];

/** A mask as COCO's run lengths, not packed: column by column, outside first. */
export interface CocoRuns {
  /** Height, width. */
  readonly size: readonly [number, number];
  readonly counts: readonly number[];
}

/** Overlap of a detection with a truth; with a crowd it is measured against the detection alone. */
export function boxIou([x, y, width, height]: CocoBox, [tx, ty, tWidth, tHeight]: CocoBox, crowd: boolean): number {
  const shared = side(x, width, tx, tWidth) * side(y, height, ty, tHeight);
  const union = crowd ? width * height : width * height + tWidth * tHeight - shared;
  return shared > 0 ? shared / union : 0;
}

function side(a: number, aSize: number, b: number, bSize: number): number {
  return Math.max(0, Math.min(a + aSize, b + bSize) - Math.max(a, b));
}

/** The same for masks; throws `metrics/size` where they differ in size. */
export function runsIou(detection: CocoRuns, truth: CocoRuns, crowd: boolean): number {
  if (detection.size.join() !== truth.size.join()) {
    throw new PaliGemmaError(
      "metrics/size",
      `a mask of ${detection.size.join(" × ")} against a truth of ${truth.size.join(" × ")}`,
    );
  }
  const shared = sharedArea(detection.counts, truth.counts);
  const union = crowd ? runsArea(detection) : runsArea(detection) + runsArea(truth) - shared;
  return union === 0 ? 0 : shared / union;
}

/** Pixels inside. */
export function runsArea({ counts }: CocoRuns): number {
  return counts.reduce((area, run, i) => (i % 2 === 1 ? area + run : area), 0);
}

/** Walks both run lengths at once, from change to change. */
function sharedArea(a: readonly number[], b: readonly number[]): number {
  let [shared, i, j, leftA, leftB] = [0, 0, 0, a[0] ?? 0, b[0] ?? 0];
  while (i < a.length && j < b.length) {
    const step = Math.min(leftA, leftB);
    if (i % 2 === 1 && j % 2 === 1) shared += step;
    leftA -= step;
    leftB -= step;
    if (leftA === 0) leftA = a[++i] ?? 0;
    if (leftB === 0) leftB = b[++j] ?? 0;
  }
  return shared;
}
