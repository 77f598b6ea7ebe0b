import { boxIou, runsArea, runsIou, type CocoBox, type CocoRuns } from "./coco-iou.ts";
import { PaliGemmaError, refuseUnknownOptions } from "./errors.ts";

// What pycocotools' COCOeval computes: https://github.com/cocodataset/cocoapi PythonAPI/pycocotools/cocoeval.py.

/** An object that is there. */
export interface CocoTruth {
  readonly category: string | number;
  readonly bbox: CocoBox;
  /** Needed where masks are compared. */
  readonly mask?: CocoRuns;
  /** Area by which objects are small, medium or large; default: that of the mask, else of the box. */
  readonly area?: number;
  /** A region of many objects: found objects in it count neither for nor against. Default false. */
  readonly crowd?: boolean;
}

/** An object that was found. */
export interface CocoDetection {
  readonly category: string | number;
  readonly bbox: CocoBox;
  readonly mask?: CocoRuns;
  /** Higher is surer. Equal scores rank by order: PaliGemma gives none, so say in a report what stood in. */
  readonly score: number;
}

/** An image with what is there and what was found. */
export interface CocoImage {
  readonly truths: readonly CocoTruth[];
  readonly detections: readonly CocoDetection[];
}

/** How to compare. */
export interface CocoOptions {
  /** Compare boxes (default) or masks. */
  readonly compare?: "box" | "mask";
}

/** COCO's twelve numbers, 0 to 1; `undefined` where no truth is of that size (pycocotools prints −1). */
export interface CocoScores {
  /** Average precision over overlaps from 0.50 to 0.95. */
  readonly ap: number | undefined;
  readonly ap50: number | undefined;
  readonly ap75: number | undefined;
  /** Of objects below 32², from 32² to 96², and above, in pixels. */
  readonly apSmall: number | undefined;
  readonly apMedium: number | undefined;
  readonly apLarge: number | undefined;
  /** Average recall with at most 1, 10 and 100 detections per image and category. */
  readonly ar1: number | undefined;
  readonly ar10: number | undefined;
  readonly ar100: number | undefined;
  readonly arSmall: number | undefined;
  readonly arMedium: number | undefined;
  readonly arLarge: number | undefined;
  /** `ap` of each category that has truths. */
  readonly perCategory: ReadonlyMap<string | number, number>;
}

// As numpy's linspace computes them, to the last bit.
const THRESHOLDS = Array.from({ length: 10 }, (_, i) => (i === 9 ? 0.95 : 0.5 + i * ((0.95 - 0.5) / 9)));
const RECALLS = Array.from({ length: 101 }, (_, i) => (i === 100 ? 1 : i * 0.01));
const LIMITS = [1, 10, 100] as const;
const MOST = 100;
const AREAS = {
  all: [0, 1e10],
  small: [0, 32 ** 2],
  medium: [32 ** 2, 96 ** 2],
  large: [96 ** 2, 1e10],
} as const;
// numpy's spacing(1): keeps 0 / 0 out of precision.
const EPSILON = Number.EPSILON;

type Area = keyof typeof AREAS;

/**
 * Average precision and recall over images, equal to pycocotools to the last digits. Throws `metrics/score` for a score
 * that is no number, `metrics/mask` where masks are compared and one is missing, `metrics/empty` for no images.
 */
export function cocoScores(images: readonly CocoImage[], options: CocoOptions = {}): CocoScores {
  refuseUnknownOptions(options, ["compare"]);
  if (images.length === 0) throw new PaliGemmaError("metrics/empty", "no images to score");
  const compare = options.compare ?? "box";
  const categories = [
    ...new Set(images.flatMap(({ truths, detections }) => [...truths, ...detections].map(({ category }) => category))),
  ];
  const pairs = categories.map((category) => images.map((image) => pairOf(image, category, compare)));
  const curves = new Map<string, Curves[]>();
  const curvesOf = (area: Area, limit: number): Curves[] => {
    const key = `${area} ${limit}`;
    const known = curves.get(key) ?? pairs.map((perImage) => accumulate(perImage, area, limit));
    curves.set(key, known);
    return known;
  };
  const precision = (area: Area, threshold?: number): number | undefined =>
    mean(
      curvesOf(area, MOST)
        .flatMap(({ precisions }) =>
          threshold === undefined ? precisions : precisions.slice(threshold, threshold + 1),
        )
        .flat(),
    );
  const recall = (area: Area, limit: number): number | undefined =>
    mean(curvesOf(area, limit).flatMap(({ recalls }) => recalls));
  const perCategory = curvesOf("all", MOST).map(
    ({ precisions }, i) => [categories[i]!, mean(precisions.flat())] as const,
  );
  return {
    ap: precision("all"),
    ap50: precision("all", 0),
    ap75: precision("all", 5),
    apSmall: precision("small"),
    apMedium: precision("medium"),
    apLarge: precision("large"),
    ar1: recall("all", LIMITS[0]),
    ar10: recall("all", LIMITS[1]),
    ar100: recall("all", LIMITS[2]),
    arSmall: recall("small", MOST),
    arMedium: recall("medium", MOST),
    arLarge: recall("large", MOST),
    perCategory: new Map(
      perCategory.filter((entry): entry is readonly [string | number, number] => entry[1] !== undefined),
    ),
  };
}

/** Truths and detections of one category in one image, detections by falling score, with their overlaps. */
interface Pair {
  readonly truths: readonly { readonly area: number; readonly crowd: boolean }[];
  readonly detections: readonly { readonly area: number; readonly score: number }[];
  /** [detection][truth] */
  readonly overlaps: readonly (readonly number[])[];
}

function pairOf(image: CocoImage, category: string | number, compare: "box" | "mask"): Pair {
  const truths = image.truths.filter((truth) => truth.category === category);
  const detections = image.detections
    .filter((detection) => detection.category === category)
    .toSorted((a, b) => checkedScore(b) - checkedScore(a))
    .slice(0, MOST);
  const area = (object: CocoTruth | CocoDetection): number =>
    compare === "mask" ? runsArea(maskOf(object)) : object.bbox[2] * object.bbox[3];
  return {
    truths: truths.map((truth) => ({ area: truth.area ?? area(truth), crowd: truth.crowd ?? false })),
    detections: detections.map((detection) => ({ area: area(detection), score: detection.score })),
    overlaps: detections.map((detection) =>
      truths.map((truth) => {
        const crowd = truth.crowd ?? false;
        return compare === "mask"
          ? runsIou(maskOf(detection), maskOf(truth), crowd)
          : boxIou(detection.bbox, truth.bbox, crowd);
      }),
    ),
  };
}

/** What became of each detection of an image at one threshold. */
type Outcome = "right" | "wrong" | "ignored";

/** Matches detections, best first, each with the free truth of the greatest overlap; crowds and other sizes come last. */
function match(
  { truths, detections, overlaps }: Pair,
  limit: number,
  threshold: number,
  range: readonly [number, number],
): Outcome[] {
  const outside = (area: number): boolean => area < range[0] || area > range[1];
  const ignored = truths.map(({ area, crowd }) => crowd || outside(area));
  const order = [...truths.keys()].toSorted((a, b) => Number(ignored[a]) - Number(ignored[b]));
  const taken = truths.map(() => false);
  return detections.slice(0, limit).map(({ area }, d) => {
    let best = -1;
    let least = Math.min(threshold, 1 - 1e-10);
    for (const g of order) {
      if (taken[g] && !truths[g]!.crowd) continue;
      // A truth that counts was found; the rest of the order is ignored ones.
      if (best >= 0 && !ignored[best] && ignored[g]) break;
      const overlap = overlaps[d]![g]!;
      if (overlap < least) continue;
      [best, least] = [g, overlap];
    }
    if (best < 0) return outside(area) ? "ignored" : "wrong";
    taken[best] = true;
    return ignored[best] ? "ignored" : "right";
  });
}

/** Precision at 101 recalls, and final recall, per threshold; empty where nothing is to be found. */
interface Curves {
  readonly precisions: readonly (readonly number[])[];
  readonly recalls: readonly number[];
}

function accumulate(pairs: readonly Pair[], area: Area, limit: number): Curves {
  const range = AREAS[area];
  const wanted = pairs.reduce(
    (sum, { truths }) => sum + truths.filter((t) => !t.crowd && t.area >= range[0] && t.area <= range[1]).length,
    0,
  );
  if (wanted === 0) return { precisions: [], recalls: [] };
  const scores = pairs.flatMap(({ detections }) => detections.slice(0, limit).map(({ score }) => score));
  const ranking = [...scores.keys()].toSorted((a, b) => scores[b]! - scores[a]!);
  const perThreshold = THRESHOLDS.map((threshold) => {
    const outcomes = pairs.flatMap((pair) => match(pair, limit, threshold, range));
    const [precision, recall]: [number[], number[]] = [[], []];
    let [right, wrong] = [0, 0];
    for (const i of ranking) {
      if (outcomes[i] === "right") right++;
      else if (outcomes[i] === "wrong") wrong++;
      precision.push(right / (wrong + right + EPSILON));
      recall.push(right / wanted);
    }
    for (let i = precision.length - 1; i > 0; i--) precision[i - 1] = Math.max(precision[i - 1]!, precision[i]!);
    return { precision: sample(precision, recall), recall: recall.at(-1) ?? 0 };
  });
  return {
    precisions: perThreshold.map(({ precision }) => precision),
    recalls: perThreshold.map(({ recall }) => recall),
  };
}

/** Precision where each of the 101 recalls is first reached; 0 where it never is. */
function sample(precision: readonly number[], recall: readonly number[]): number[] {
  let at = 0;
  return RECALLS.map((wanted) => {
    while (at < recall.length && recall[at]! < wanted) at++;
    return precision[at] ?? 0;
  });
}

function mean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0) / values.length;
}

function checkedScore({ score }: CocoDetection): number {
  if (Number.isNaN(score))
    throw new PaliGemmaError(
      "metrics/score",
      "a detection's score is no number; give all the same one where there is none",
    );
  return score;
}

function maskOf({ mask, category }: CocoTruth | CocoDetection): CocoRuns {
  if (mask !== undefined) return mask;
  throw new PaliGemmaError(
    "metrics/mask",
    `an object of ${JSON.stringify(category)} has no mask; compare boxes, or give run lengths`,
  );
}
