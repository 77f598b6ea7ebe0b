import { boxIou, type Box } from "./boxes.ts";
import type { Detection } from "./detections.ts";
import { PaliGemmaError, refuseUnknownOptions } from "./errors.ts";

/** What a clean-up kept and what it took out, both in their order. */
export interface Kept<T> {
  readonly kept: readonly T[];
  readonly dropped: readonly T[];
}

/** Takes out detections that repeat an earlier one exactly: same label, same box, same mask codes. */
export function dropRepeats<T extends Detection>(detections: readonly T[]): Kept<T> {
  const seen = new Set<string>();
  const isNew = (detection: T): boolean => {
    const key = keyOf(detection);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  };
  return split(detections, detections.map(isNew));
}

/** How much may overlap. */
export interface SuppressOptions {
  /** Intersection over union above which two boxes are the same object, 0 to 1. Default 0.7. */
  readonly iou?: number;
  /** Compare only boxes of the same label. Default true. */
  readonly perLabel?: boolean;
}

/**
 * Takes out detections whose box overlaps a better one: the one with the higher score, or without scores the earlier
 * one. Boxes that are inside out overlap nothing. Throws `parsers/option`.
 */
export function suppressOverlaps<T extends Detection>(
  detections: readonly T[],
  options: SuppressOptions = {},
): Kept<T> {
  refuseUnknownOptions(options, ["iou", "perLabel"]);
  const { iou = 0.7, perLabel = true } = options;
  if (!(iou >= 0 && iou <= 1)) throw new PaliGemmaError("parsers/option", `iou is ${iou}; it is a share from 0 to 1`);
  const order = [...detections.keys()].toSorted(
    (a, b) => (detections[b]!.score ?? 0) - (detections[a]!.score ?? 0) || a - b,
  );
  const rivals = new Map<string, Box[]>();
  const keep = detections.map(() => true);
  for (const index of order) {
    const { label, box } = detections[index]!;
    const group = perLabel ? label : "";
    const better = rivals.get(group) ?? [];
    keep[index] = better.every((other) => boxIou(box, other) <= iou);
    if (keep[index]) {
      better.push(box);
      rivals.set(group, better);
    }
  }
  return split(detections, keep);
}

/** How often the last detection stands at the end of the list, at least 1; 0 for an empty list. A model in a loop counts up. */
export function trailingRepeats(detections: readonly Detection[]): number {
  const last = detections.at(-1);
  if (last === undefined) return 0;
  const different = detections.findLastIndex((detection) => keyOf(detection) !== keyOf(last));
  return detections.length - 1 - different;
}

function keyOf({ label, box, codes }: Detection): string {
  return JSON.stringify([label, box.yMin, box.xMin, box.yMax, box.xMax, codes ?? null]);
}

function split<T>(items: readonly T[], keep: readonly boolean[]): Kept<T> {
  return { kept: items.filter((_, i) => keep[i]), dropped: items.filter((_, i) => !keep[i]) };
}
