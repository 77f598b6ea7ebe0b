import type { PathMark, PlacedLabel, TextMark } from "./marks.ts";
import { textColorOn } from "./palette.ts";
import { rectanglePath, type Path, type Rectangle } from "./path.ts";
import { placeLabels, type LabelPlace } from "./place-labels.ts";
import { CAPITAL } from "./typeface.ts";
import { writing, type WritingOptions } from "./writing.ts";

/** A text that belongs to an object. */
export interface LabelRequest {
  /** Number of the object. */
  readonly object: number;
  readonly text: string;
  readonly target: Rectangle;
  readonly color: string;
}

/** Sizes in pixels. */
export interface LabelSizes {
  readonly width: number;
  readonly height: number;
  readonly fontSize: number;
  readonly lineWidth: number;
}

/** Marks of all labels, from back to front, and where they lie. */
export interface LabelMarks {
  readonly marks: readonly (PathMark | TextMark)[];
  readonly labels: readonly PlacedLabel[];
  readonly unplaced: readonly number[];
}

/** Writes and places labels: first the lines that lead to objects, then the labels, so that no line crosses a text. */
export function labelMarks(requests: readonly LabelRequest[], sizes: LabelSizes, options: WritingOptions): LabelMarks {
  const { width, height, fontSize, lineWidth } = sizes;
  const padding = fontSize * 0.25;
  const chipHeight = fontSize * 1.3;
  // A label may take half of the picture, or fourteen em of a small one.
  const room = Math.min(width, Math.max(width / 2, 14 * fontSize)) - 2 * padding;
  const writings = requests.map(({ text }) => writing(text, fontSize, room, options));
  const wishes = requests.map(({ target }, i) => ({
    width: writings[i]!.width + 2 * padding,
    height: chipHeight,
    target,
  }));
  const places = placeLabels(wishes, width, height);

  const leaders: PathMark[] = [];
  const chips: (PathMark | TextMark)[] = [];
  const labels: PlacedLabel[] = [];
  const unplaced: number[] = [];
  for (const [i, { object, target, color }] of requests.entries()) {
    const place = places[i];
    const { shown, mark } = writings[i]!;
    if (place === undefined || shown === "") {
      unplaced.push(object);
      continue;
    }
    if (place.leader) leaders.push(...leaderMarks(place, target, color, lineWidth));
    const baseline = place.y + (chipHeight + CAPITAL * fontSize) / 2;
    chips.push(
      { kind: "path", path: rectanglePath(place, fontSize * 0.2), fill: color },
      mark(place.x + padding, baseline, textColorOn(color)),
    );
    labels.push({ x: place.x, y: place.y, width: place.width, height: place.height, object, text: shown });
  }
  return { marks: [...leaders, ...chips], labels, unplaced };
}

function leaderMarks(place: LabelPlace, target: Rectangle, color: string, lineWidth: number): PathMark[] {
  const path: Path = [
    ["M", place.x + place.width / 2, place.y + place.height / 2],
    ["L", target.x + target.width / 2, target.y + target.height / 2],
  ];
  return [
    { kind: "path", path, stroke: "#000000", lineWidth: lineWidth * 1.4, opacity: 0.45 },
    { kind: "path", path, stroke: color, lineWidth: lineWidth * 0.7 },
  ];
}
