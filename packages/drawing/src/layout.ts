import { contourPath, type MaskGrid } from "./contour.ts";
import { PaliGemmaError, refuseUnknownOptions } from "./errors.ts";
import { labelMarks } from "./label-marks.ts";
import type { Drawing, PathMark, TextMark } from "./marks.ts";
import { DASHES, PALETTE } from "./palette.ts";
import { rectanglePath, type Rectangle } from "./path.ts";
import type { Typeface } from "./writing.ts";

/** Corners as fractions of the picture, 0 to 1. */
export interface DrawnBox {
  readonly yMin: number;
  readonly xMin: number;
  readonly yMax: number;
  readonly xMax: number;
}

/** What to draw for one object; a detection of `@paligemma/parsers` is one. */
export interface DrawnObject {
  readonly label?: string;
  readonly box?: DrawnBox;
  /** A mask and where it lies; without `area` it covers the whole picture. */
  readonly mask?: MaskGrid & { readonly area?: DrawnBox };
  /** Written behind the label as a fraction with two digits. */
  readonly score?: number;
  /** `#rrggbb`; default: one palette colour per label. */
  readonly color?: string;
}

/** How to draw. */
export interface LayoutOptions {
  /** Height of an em in pixels. Default: 2.2 % of the picture's mean side, at least 11. */
  readonly fontSize?: number;
  /** Width of lines in pixels. Default: 0.35 % of the picture's mean side, at least 1.5. */
  readonly lineWidth?: number;
  /** Opacity of masks, 0 to 1. Default 0.45. */
  readonly maskOpacity?: number;
  /** Default true. */
  readonly labels?: boolean;
  /**
   * Labels beyond Latin, Greek and Cyrillic: `codes` (default) writes each character's code point in a frame, the same
   * on every machine; `system` leaves the whole label to fonts of the viewer.
   */
  readonly otherScripts?: "codes" | "system";
  /** Width of a `system` text in em; canvases know (`measureText`). Default: an estimate. */
  readonly measure?: (text: string) => number;
  /** Outlines for labels that the embedded ones do not cover; comes before `otherScripts`. */
  readonly typeface?: Typeface;
}

const OPTIONS = ["fontSize", "lineWidth", "maskOpacity", "labels", "otherScripts", "measure", "typeface"];
// Far beyond any camera; keeps coordinates of a hostile size out of renderers.
const MAX_SIDE = 65_535;

/**
 * The drawing of objects over a picture of `size` pixels: masks, then boxes, then labels that never cover each other.
 * Throws `drawing/size`, `drawing/box`, `drawing/mask`, `drawing/color` or `drawing/option`.
 */
export function layoutDrawing(
  objects: readonly DrawnObject[],
  size: { readonly width: number; readonly height: number },
  options: LayoutOptions = {},
): Drawing {
  refuseUnknownOptions(options, OPTIONS);
  const { width, height } = checkedSize(size);
  const mean = Math.sqrt(width * height);
  const fontSize = options.fontSize ?? Math.max(11, 0.022 * mean);
  const lineWidth = options.lineWidth ?? Math.max(1.5, 0.0035 * mean);
  const styles = stylesOf(objects, lineWidth);
  const marks: (PathMark | TextMark)[] = [];

  for (const [i, { mask }] of objects.entries()) {
    if (mask === undefined) continue;
    const path = contourPath(mask, mask.area ? rectangleOf(mask.area, width, height) : { x: 0, y: 0, width, height });
    if (path.length === 0) continue;
    const { color } = styles[i]!;
    marks.push({ kind: "path", path, fill: color, fillRule: "evenodd", opacity: options.maskOpacity ?? 0.45 });
    marks.push({ kind: "path", path, stroke: color, lineWidth: lineWidth * 0.6 });
  }
  for (const [i, { box }] of objects.entries()) {
    if (box === undefined) continue;
    const { color, dash } = styles[i]!;
    const path = rectanglePath(withinPicture(rectangleOf(box, width, height), lineWidth, width, height));
    // A dark halo keeps light colours visible on light ground.
    marks.push({ kind: "path", path, stroke: "#000000", lineWidth: lineWidth * 2, opacity: 0.45 });
    marks.push({ kind: "path", path, stroke: color, lineWidth, ...(dash.length > 0 && { dash }) });
  }
  const requests = objects.flatMap((object, i) => {
    const text = options.labels === false ? "" : textOf(object);
    return text === "" ? [] : [{ object: i, text, target: targetOf(object, width, height), color: styles[i]!.color }];
  });
  const labels = labelMarks(requests, { width, height, fontSize, lineWidth }, options);
  return { width, height, marks: [...marks, ...labels.marks], labels: labels.labels, unplaced: labels.unplaced };
}

function textOf({ label = "", score }: DrawnObject): string {
  const oneLine = label.replaceAll(/\s+/g, " ").trim();
  return score === undefined ? oneLine : `${oneLine} ${score.toFixed(2)}`.trim();
}

type Style = { readonly color: string; readonly dash: readonly number[] };

function stylesOf(objects: readonly DrawnObject[], lineWidth: number): Style[] {
  const labels = [...new Set(objects.map((object) => object.label ?? ""))];
  const order = new Map(labels.map((label, i) => [label, i]));
  return objects.map(({ label = "", color }) => {
    if (color !== undefined && !/^#[0-9a-f]{6}$/i.test(color)) {
      throw new PaliGemmaError("drawing/color", `${JSON.stringify(color)} is no colour of the form #rrggbb`);
    }
    const index = order.get(label)!;
    const dash = DASHES[Math.floor(index / PALETTE.length) % DASHES.length]!.map((part) => part * lineWidth);
    return { color: color ?? PALETTE[index % PALETTE.length]!, dash };
  });
}

function targetOf({ box, mask }: DrawnObject, width: number, height: number): Rectangle {
  const area = box ?? mask?.area;
  return area ? rectangleOf(area, width, height) : { x: 0, y: 0, width, height };
}

/** A box that is inside out is drawn as the rectangle between its corners. */
function rectangleOf(box: DrawnBox, width: number, height: number): Rectangle {
  if (![box.xMin, box.yMin, box.xMax, box.yMax].every(Number.isFinite)) {
    throw new PaliGemmaError(
      "drawing/box",
      `the box ${JSON.stringify(box)} has a corner that is no number; corners are fractions of the picture`,
    );
  }
  return {
    x: Math.min(box.xMin, box.xMax) * width,
    y: Math.min(box.yMin, box.yMax) * height,
    width: Math.abs(box.xMax - box.xMin) * width,
    height: Math.abs(box.yMax - box.yMin) * height,
  };
}

/** Moves edges that lie on the picture's rim inwards, so that the whole line is seen. */
function withinPicture(box: Rectangle, lineWidth: number, width: number, height: number): Rectangle {
  const margin = lineWidth / 2;
  const clamp = (v: number, side: number): number => Math.min(Math.max(v, margin), side - margin);
  const [x, y] = [clamp(box.x, width), clamp(box.y, height)];
  return {
    x,
    y,
    width: Math.max(clamp(box.x + box.width, width) - x, 0),
    height: Math.max(clamp(box.y + box.height, height) - y, 0),
  };
}

function checkedSize(size: { readonly width: number; readonly height: number }): {
  readonly width: number;
  readonly height: number;
} {
  if ([size.width, size.height].every((side) => Number.isInteger(side) && side >= 1 && side <= MAX_SIDE)) return size;
  throw new PaliGemmaError(
    "drawing/size",
    `a picture of ${size.width} × ${size.height} pixels; sides are whole numbers from 1 to ${MAX_SIDE}`,
  );
}
