import { PaliGemmaError } from "./errors.ts";

/** A mask of the image, row by row; inside where not 0. A mask of `@paligemma/masks` is one. */
export interface MaskPixels {
  readonly width: number;
  readonly height: number;
  readonly data: ArrayLike<number>;
}

/** Corners as fractions of the image. */
export interface BoxCorners {
  readonly yMin: number;
  readonly xMin: number;
  readonly yMax: number;
  readonly xMax: number;
}

/** A referring expression, what it means, and what was answered. */
export interface ReferringExample {
  /** The object's mask at the original size. */
  readonly truth: MaskPixels;
  readonly truthBox?: BoxCorners;
  /** The answer's mask at the same size; absent where the answer was not valid, which counts as 0. */
  readonly prediction?: MaskPixels | undefined;
  readonly predictionBox?: BoxCorners | undefined;
}

/** Scores of referring segmentation. */
export interface ReferringScores {
  /** Mean over the expressions of intersection over union: what PaliGemma's authors report. */
  readonly meanIou: number;
  /** All intersections over all unions: what many papers report, not comparable with the mean. */
  readonly cumulativeIou: number;
  /** Share of boxes with at least 0.5, and 0.75, intersection over union; absent without boxes of the truth. */
  readonly boxAccuracy50?: number;
  readonly boxAccuracy75?: number;
  /** Answers that were not valid. */
  readonly invalid: number;
  readonly total: number;
}

/** Scores of answers to referring expressions (RefCOCO and the like). Throws `metrics/empty` or `metrics/size`. */
export function referringScores(examples: readonly ReferringExample[]): ReferringScores {
  if (examples.length === 0) throw new PaliGemmaError("metrics/empty", "no expressions to score");
  const overlaps = examples.map(({ truth, prediction }) => overlapOf(truth, prediction));
  const boxes = examples.filter((example) => example.truthBox !== undefined);
  const ious = boxes.map(({ truthBox, predictionBox }) => (predictionBox ? boxOverlap(predictionBox, truthBox!) : 0));
  const share = (least: number): number => ious.filter((iou) => iou >= least).length / ious.length;
  const [shared, united] = overlaps.reduce(([a, b], { intersection, union }) => [a + intersection, b + union], [0, 0]);
  return {
    meanIou:
      overlaps.reduce((sum, { intersection, union }) => sum + (union === 0 ? 0 : intersection / union), 0) /
      examples.length,
    cumulativeIou: united === 0 ? 0 : shared / united,
    ...(boxes.length > 0 && { boxAccuracy50: share(0.5), boxAccuracy75: share(0.75) }),
    invalid: examples.filter(({ prediction }) => prediction === undefined).length,
    total: examples.length,
  };
}

function overlapOf(truth: MaskPixels, prediction: MaskPixels | undefined): { intersection: number; union: number } {
  if (prediction !== undefined && (prediction.width !== truth.width || prediction.height !== truth.height)) {
    throw new PaliGemmaError(
      "metrics/size",
      `a mask of ${prediction.width} × ${prediction.height} against a truth of ${truth.width} × ${truth.height}; place it at the image's size`,
    );
  }
  let [intersection, union] = [0, 0];
  for (let i = 0; i < truth.data.length; i++) {
    const [wanted, said] = [truth.data[i] !== 0, prediction !== undefined && prediction.data[i] !== 0];
    if (wanted && said) intersection++;
    if (wanted || said) union++;
  }
  return { intersection, union };
}

function boxOverlap(a: BoxCorners, b: BoxCorners): number {
  const area = (yMin: number, xMin: number, yMax: number, xMax: number): number =>
    Math.max(xMax - xMin, 0) * Math.max(yMax - yMin, 0);
  const shared = area(
    Math.max(a.yMin, b.yMin),
    Math.max(a.xMin, b.xMin),
    Math.min(a.yMax, b.yMax),
    Math.min(a.xMax, b.xMax),
  );
  const union = area(a.yMin, a.xMin, a.yMax, a.xMax) + area(b.yMin, b.xMin, b.yMax, b.xMax) - shared;
  return union === 0 ? 0 : shared / union;
}
