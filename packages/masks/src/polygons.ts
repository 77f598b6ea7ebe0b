import { PaliGemmaError } from "@paligemma/core";
import { checkSize, emptyMask, type Mask } from "./mask.ts";
import { maskFromRle } from "./rle.ts";

/** A connected part of a mask: closed lines x, y, x, y, … in pixels, along the edges between pixels. */
export interface Polygon {
  /** Clockwise as seen on a screen. */
  readonly outline: readonly number[];
  /** Counter-clockwise. */
  readonly holes: readonly (readonly number[])[];
}

/** How to outline a mask. */
export interface PolygonOptions {
  /** How far, in pixels, a corner may lie from the simplified line. Default 0: exact. */
  readonly tolerance?: number;
  /** Parts and holes with fewer pixels are left out. Default 1. */
  readonly minimumArea?: number;
}

/**
 * The connected parts of a mask (pixels that touch at a corner only are apart), top to bottom, each with its holes.
 * Without options `maskFromPolygons` gives the mask back exactly. COCO knows no holes: there, write run lengths.
 */
export function polygonsFromMask(mask: Mask, options: PolygonOptions = {}): readonly Polygon[] {
  const { tolerance = 0, minimumArea = 1 } = options;
  const { width, height, data } = mask;
  const isInside = (x: number, y: number): boolean =>
    x >= 0 && y >= 0 && x < width && y < height && data[y * width + x] !== 0;
  const traced = new Uint8Array(width * height);
  const parts = new Int32Array(width * height); // number of the part a pixel belongs to, from 1
  const polygons: { outline: readonly number[]; holes: (readonly number[])[] }[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      if (!isInside(x, y) || isInside(x, y - 1) || traced[at]) continue;
      const ring = traceRing(x, y, isInside, (px, py) => (traced[py * width + px] = 1));
      // Reached first from above, a part shows its outline; what comes later from below a gap is a hole.
      if (parts[at] === 0) {
        polygons.push({ outline: ring, holes: [] });
        fillPart(mask, at, polygons.length, parts);
      } else {
        polygons[parts[at]! - 1]!.holes.push(ring);
      }
    }
  }
  return polygons
    .filter(({ outline }) => Math.abs(ringArea(outline)) >= minimumArea)
    .map(({ outline, holes }) => ({
      outline: simplify(outline, tolerance),
      holes: holes.filter((hole) => Math.abs(ringArea(hole)) >= minimumArea).map((hole) => simplify(hole, tolerance)),
    }));
}

/**
 * The mask that polygons cover, by COCO's rule (a pixel is inside where its centre is, on a grid of fifths), so that areas
 * and overlaps agree with `pycocotools`. Throws `masks/polygon` for lines of fewer than three corners.
 */
export function maskFromPolygons(
  polygons: readonly (Polygon | readonly number[])[],
  size: { readonly width: number; readonly height: number },
): Mask {
  const { width, height } = size;
  const mask = emptyMask(width, height);
  for (const polygon of polygons) {
    const { outline, holes } = isLine(polygon) ? { outline: polygon, holes: [] } : polygon;
    const part = fillRing(outline, width, height);
    for (const hole of holes) {
      const gap = fillRing(hole, width, height);
      for (let i = 0; i < part.data.length; i++) if (gap.data[i]) part.data[i] = 0;
    }
    for (let i = 0; i < part.data.length; i++) if (part.data[i]) mask.data[i] = 1;
  }
  return mask;
}

/** Area inside a closed line in squared pixels; positive clockwise, negative counter-clockwise. */
export function ringArea(ring: readonly number[]): number {
  let twice = 0;
  for (let i = 0; i < ring.length; i += 2) {
    const [nextX, nextY] = [ring[(i + 2) % ring.length]!, ring[(i + 3) % ring.length]!];
    twice += ring[i]! * nextY - nextX * ring[i + 1]!;
  }
  return twice / 2;
}

/** Walks from the top left corner of pixel (x, y) eastwards around the inside, which stays on the right hand. */
function traceRing(
  startX: number,
  startY: number,
  isInside: (x: number, y: number) => boolean,
  visitTop: (x: number, y: number) => void,
): number[] {
  const ring: number[] = [];
  let [x, y, dx, dy] = [startX, startY, 1, 0];
  do {
    // Moving east, the pixel on the right hand hangs below this edge.
    if (dx === 1) visitTop(x, y);
    [x, y] = [x + dx, y + dy];
    // The two pixels ahead of the new corner, on the right hand and on the left.
    const right = isInside(x + (dx - dy - 1) / 2, y + (dx + dy - 1) / 2);
    const left = isInside(x + (dx + dy - 1) / 2, y + (dy - dx - 1) / 2);
    if (right && !left) continue;
    ring.push(x, y);
    [dx, dy] = right ? [dy, -dx] : [-dy, dx];
  } while (x !== startX || y !== startY || dx !== 1);
  return ring;
}

/** Numbers all pixels that hang together with `start` by their edges. */
function fillPart({ width, height, data }: Mask, start: number, number: number, parts: Int32Array): void {
  const stack = [start];
  parts[start] = number;
  const visit = (at: number): void => {
    if (data[at] && parts[at] === 0) {
      parts[at] = number;
      stack.push(at);
    }
  };
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const x = at % width;
    if (x > 0) visit(at - 1);
    if (x < width - 1) visit(at + 1);
    if (at >= width) visit(at - width);
    if (at < width * (height - 1)) visit(at + width);
  }
}

/** Ramer, Douglas and Peucker on a closed line, split at its first corner and the one farthest from it. */
function simplify(ring: readonly number[], tolerance: number): readonly number[] {
  const count = ring.length / 2;
  if (tolerance <= 0 || count <= 4) return ring;
  const keep = new Uint8Array(count + 1);
  const at = (i: number): [number, number] => [ring[(i % count) * 2]!, ring[(i % count) * 2 + 1]!];
  const distance = (i: number, from: number, to: number): number => {
    const [[x, y], [x0, y0], [x1, y1]] = [at(i), at(from), at(to)];
    const length = Math.hypot(x1 - x0, y1 - y0);
    return length === 0 ? Math.hypot(x - x0, y - y0) : Math.abs((x1 - x0) * (y0 - y) - (x0 - x) * (y1 - y0)) / length;
  };
  const farthest = (from: number, to: number): [number, number] => {
    let best: [number, number] = [from, -1];
    for (let i = from + 1; i < to; i++) if (distance(i, from, to) > best[1]) best = [i, distance(i, from, to)];
    return best;
  };
  const [opposite] = farthest(0, count);
  keep[0] = keep[opposite] = 1;
  const spans: [number, number][] = [
    [0, opposite],
    [opposite, count],
  ];
  for (let span = spans.pop(); span !== undefined; span = spans.pop()) {
    const [middle, off] = farthest(...span);
    if (off <= tolerance) continue;
    keep[middle] = 1;
    spans.push([span[0], middle], [middle, span[1]]);
  }
  const kept = Array.from({ length: count }, (_, i) => i).filter((i) => keep[i]);
  return kept.length < 3 ? ring : kept.flatMap(at);
}

// The grid of fifths and the rule for its boundary are COCO's: https://github.com/cocodataset/cocoapi common/maskApi.c.
const FINE = 5;
// A line through every pixel of a picture of 7000 × 7000; blocks corners far away that would make the walk endless.
const MAX_STEPS = 2 ** 28;

function fillRing(ring: readonly number[], width: number, height: number): Mask {
  checkSize(width, height);
  if (ring.length < 6 || ring.length % 2 === 1 || !ring.every(Number.isFinite)) {
    throw new PaliGemmaError(
      "masks/polygon",
      `a line of ${ring.length} numbers; a polygon is x, y, x, y, … of three corners or more, all finite`,
    );
  }
  const steps: number[] = [];
  let lastX: number | undefined;
  let lastY = 0;
  walkFine(ring, (x, y) => {
    if (lastX !== undefined && x !== lastX) {
      const column = ((x < lastX ? x : x - 1) + 0.5) / FINE - 0.5;
      if (Number.isInteger(column) && column >= 0 && column <= width - 1) {
        const row = Math.ceil(Math.min(Math.max((Math.min(y, lastY) + 0.5) / FINE - 0.5, 0), height));
        steps.push(column * height + row);
      }
    }
    [lastX, lastY] = [x, y];
  });
  // Each step down a column switches between outside and inside.
  const counts: number[] = [];
  let at = 0;
  for (const step of [...steps.sort((a, b) => a - b), width * height]) {
    counts.push(step - at);
    at = step;
  }
  return maskFromRle({ size: [height, width], counts });
}

/** All points of the closed line on the fine grid, corner to corner along the longer direction. */
function walkFine(ring: readonly number[], visit: (x: number, y: number) => void): void {
  const fine = ring.map((v) => Math.trunc(FINE * v + 0.5));
  const corners = Array.from({ length: ring.length / 2 }, (_, i) => [fine[i * 2]!, fine[i * 2 + 1]!] as const);
  const steps = fine.reduce((sum, v, i) => sum + Math.abs(fine[(i + 2) % fine.length]! - v), 0);
  if (steps > MAX_STEPS) {
    throw new PaliGemmaError(
      "masks/polygon",
      `a line around ${Math.round(steps / FINE)} pixels; are the corners pixels of the image?`,
    );
  }
  for (const [i, [fromX, fromY]] of corners.entries()) {
    const [toX, toY] = corners[(i + 1) % corners.length]!;
    const [dx, dy] = [Math.abs(toX - fromX), Math.abs(toY - fromY)];
    const wide = dx >= dy;
    const flip = wide ? fromX > toX : fromY > toY;
    const [x0, y0, x1, y1] = flip ? [toX, toY, fromX, fromY] : [fromX, fromY, toX, toY];
    const length = Math.max(dx, dy);
    const slope = length === 0 ? 0 : wide ? (y1 - y0) / dx : (x1 - x0) / dy;
    for (let d = 0; d <= length; d++) {
      const t = flip ? length - d : d;
      if (wide) visit(t + x0, Math.trunc(y0 + slope * t + 0.5));
      else visit(Math.trunc(x0 + slope * t + 0.5), t + y0);
    }
  }
}

function isLine(polygon: Polygon | readonly number[]): polygon is readonly number[] {
  return Array.isArray(polygon);
}
