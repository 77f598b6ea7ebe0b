import { contourPath, type MaskGrid } from "./contour.ts";
import { PaliGemmaError, refuseUnknownOptions } from "./errors.ts";
import { DASHES, PALETTE, textColorOn } from "./palette.ts";
import { rectanglePath, type Path, type Rectangle } from "./path.ts";
import { placeLabels } from "./place-labels.ts";
import { CAPITAL, fitText, isCovered, textPath, textWidth } from "./typeface.ts";

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
}

/** One stroke or surface; pixels of the picture. */
export interface PathMark {
  readonly kind: "path";
  readonly path: Path;
  readonly fill?: string;
  readonly fillRule?: "nonzero" | "evenodd";
  readonly stroke?: string;
  readonly lineWidth?: number;
  readonly dash?: readonly number[];
  /** 0 to 1, default 1. */
  readonly opacity?: number;
}

/** A text for the viewer's own fonts, `width` pixels wide, its baseline starting at (x, y). */
export interface TextMark {
  readonly kind: "text";
  readonly text: string;
  readonly x: number;
  readonly y: number;
  readonly size: number;
  readonly width: number;
  readonly fill: string;
}

/** A finished drawing: marks from back to front over a picture of `width` × `height` pixels. */
export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly marks: readonly (PathMark | TextMark)[];
  /** Where each object's label lies, for those that have one and found a place. */
  readonly labels: readonly (Rectangle & { readonly object: number; readonly text: string })[];
  /** Objects whose label found no free place. */
  readonly unplaced: readonly number[];
}

const OPTIONS = ["fontSize", "lineWidth", "maskOpacity", "labels", "otherScripts", "measure"];
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
  if (options.labels === false) return { width, height, marks, labels: [], unplaced: [] };
  const placed = layoutLabels(objects, styles, { width, height }, fontSize, lineWidth, options);
  return { width, height, marks: [...marks, ...placed.marks], labels: placed.labels, unplaced: placed.unplaced };
}

type Style = { readonly color: string; readonly dash: readonly number[] };

function layoutLabels(
  objects: readonly DrawnObject[],
  styles: readonly Style[],
  { width, height }: { readonly width: number; readonly height: number },
  fontSize: number,
  lineWidth: number,
  options: LayoutOptions,
): { marks: (PathMark | TextMark)[]; labels: (Rectangle & { object: number; text: string })[]; unplaced: number[] } {
  const padding = fontSize * 0.25;
  const chipHeight = fontSize * 1.3;
  const texts = objects
    .map((object) => textOf(object))
    .map((text) => {
      const system = options.otherScripts === "system" && !isCovered(text);
      const measure = system ? (options.measure ?? estimateWidth) : textWidth;
      const shown = fitText(text, (width - 2 * padding) / fontSize, measure);
      return { shown, system, width: measure(shown) * fontSize };
    });
  const wanted = [...objects.keys()].filter((i) => textOf(objects[i]!) !== "");
  const wishes = wanted.map((i) => ({
    width: texts[i]!.width + 2 * padding,
    height: chipHeight,
    target: targetOf(objects[i]!, width, height),
  }));
  const places = placeLabels(wishes, width, height);

  const leaders: PathMark[] = [];
  const chips: (PathMark | TextMark)[] = [];
  const labels: (Rectangle & { object: number; text: string })[] = [];
  for (const [n, i] of wanted.entries()) {
    const place = texts[i]!.shown === "" ? undefined : places[n];
    if (place === undefined) continue;
    const { color } = styles[i]!;
    const fill = textColorOn(color);
    if (place.leader) {
      const { target } = wishes[n]!;
      const path: Path = [
        ["M", place.x + place.width / 2, place.y + place.height / 2],
        ["L", target.x + target.width / 2, target.y + target.height / 2],
      ];
      leaders.push(
        { kind: "path", path, stroke: "#000000", lineWidth: lineWidth * 1.4, opacity: 0.45 },
        { kind: "path", path, stroke: color, lineWidth: lineWidth * 0.7 },
      );
    }
    chips.push({ kind: "path", path: rectanglePath(place, fontSize * 0.2), fill: color });
    const [x, y] = [place.x + padding, place.y + (chipHeight + CAPITAL * fontSize) / 2];
    const { shown, system, width: shownWidth } = texts[i]!;
    if (system) chips.push({ kind: "text", text: shown, x, y, size: fontSize, width: shownWidth, fill });
    else chips.push({ kind: "path", path: textPath(shown, x, y, fontSize), fill });
    labels.push({ x: place.x, y: place.y, width: place.width, height: place.height, object: i, text: shown });
  }
  const shownObjects = new Set(labels.map((label) => label.object));
  return { marks: [...leaders, ...chips], labels, unplaced: wanted.filter((i) => !shownObjects.has(i)) };
}

function textOf({ label = "", score }: DrawnObject): string {
  const oneLine = label.replaceAll(/\s+/g, " ").trim();
  return score === undefined ? oneLine : `${oneLine} ${score.toFixed(2)}`.trim();
}

/** Full-width characters take an em, others a little over half of one. */
function estimateWidth(text: string): number {
  return Array.from(text).reduce((width, character) => width + (character >= "\u1100" ? 1 : 0.6), 0);
}

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
