import { PaliGemmaError } from "./errors.ts";
import type { Path, PathStep, Rectangle } from "./path.ts";

/** A mask as a grid of numbers: binary (0 and 1, or 0 and 255) or soft; inside is what exceeds `threshold`. */
export interface MaskGrid {
  /** Values row by row, [height, width]. */
  readonly data: ArrayLike<number>;
  readonly width: number;
  readonly height: number;
  /** Default 0.5. */
  readonly threshold?: number;
}

/**
 * The border of a mask stretched over `area`, as closed lines for the even-odd rule. Between the samples the mask is
 * taken as linear, so a 64 × 64 mask has a smooth border at any size; towards the rim it keeps its outermost value.
 */
export function contourPath(mask: MaskGrid, area: Rectangle): Path {
  const { data, width, height, threshold = 0.5 } = mask;
  if (data.length !== width * height || width < 1 || height < 1) {
    throw new PaliGemmaError(
      "drawing/mask",
      `a mask of ${width} × ${height} needs ${width * height} values, it has ${data.length}`,
    );
  }
  // The grid gets two rings: the outermost samples once more on the rim, and "outside" at the same place.
  const columns = width + 4;
  const rows = height + 4;
  const value = (column: number, row: number): number => {
    if (column === 0 || row === 0 || column === columns - 1 || row === rows - 1) return Number.NEGATIVE_INFINITY;
    const x = Math.min(Math.max(column - 2, 0), width - 1);
    const y = Math.min(Math.max(row - 2, 0), height - 1);
    return data[y * width + x]! - threshold;
  };

  /** Crossing of the border with a grid edge: edge 2k is horizontal from sample k, edge 2k + 1 is vertical. */
  const point = (edge: number): [number, number] => {
    const sample = edge >> 1;
    const [column, row] = [sample % columns, Math.floor(sample / columns)];
    const [nextColumn, nextRow] = edge & 1 ? [column, row + 1] : [column + 1, row];
    const [from, to] = [value(column, row), value(nextColumn, nextRow)];
    // Beside "outside" both ends lie on the rim, any share gives the same place.
    const share = Number.isFinite(from) && Number.isFinite(to) ? from / (from - to) : 0.5;
    const mix = (a: number, b: number): number => a + (b - a) * share;
    return [
      area.x + area.width * mix(place(column, width), place(nextColumn, width)),
      area.y + area.height * mix(place(row, height), place(nextRow, height)),
    ];
  };

  const next = links(columns, rows, value);
  const path: PathStep[] = [];
  for (const start of next.keys()) {
    const ring: [number, number][] = [];
    let edge: number | undefined = start;
    while (edge !== undefined && next.has(edge)) {
      append(ring, point(edge));
      const following: number | undefined = next.get(edge);
      next.delete(edge);
      edge = following;
    }
    path.push(...ring.map(([x, y], i): PathStep => [i === 0 ? "M" : "L", x, y]), ["Z"]);
  }
  return path;
}

/** Place of grid line `i` of the widened grid, as a share of the side. */
function place(i: number, size: number): number {
  return Math.min(Math.max(i - 1.5, 0), size) / size;
}

/** Adds a corner; a corner on the straight line between its neighbours is left out. */
function append(ring: [number, number][], [x, y]: [number, number]): void {
  const [last, before] = [ring.at(-1), ring.at(-2)];
  if (last && last[0] === x && last[1] === y) return;
  if (last && before) {
    const turn = (last[0] - before[0]) * (y - last[1]) - (last[1] - before[1]) * (x - last[0]);
    if (Math.abs(turn) < 1e-9) ring.pop();
  }
  ring.push([x, y]);
}

/** Marching squares: from each crossed grid edge to the next one along the border, inside on the left hand. */
function links(columns: number, rows: number, value: (column: number, row: number) => number): Map<number, number> {
  const inside = new Uint8Array(columns * rows);
  for (let row = 0, i = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) inside[i++] = value(column, row) > 0 ? 1 : 0;
  const next = new Map<number, number>();
  for (let row = 0; row < rows - 1; row++) {
    for (let column = 0; column < columns - 1; column++) {
      const sample = row * columns + column;
      const corners =
        inside[sample]! |
        (inside[sample + 1]! << 1) |
        (inside[sample + columns + 1]! << 2) |
        (inside[sample + columns]! << 3);
      if (corners === 0 || corners === 15) continue;
      const sides = [sample * 2, (sample + 1) * 2 + 1, (sample + columns) * 2, sample * 2 + 1] as const; // top, right, bottom, left
      const centre =
        (value(column, row) + value(column + 1, row) + value(column, row + 1) + value(column + 1, row + 1)) / 4;
      for (const [from, to] of crossings(corners, centre > 0)) next.set(sides[from]!, sides[to]!);
    }
  }
  return next;
}

// By corners inside (1 top left, 2 top right, 4 bottom right, 8 bottom left): from side to side (0 top, 1 right, 2 bottom, 3 left).
const CROSSINGS: readonly (readonly (readonly [number, number])[])[] = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [], [[0, 2]], [[3, 2]], [[2, 3]], [[2, 0]], [], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
]; // prettier-ignore

/** Two opposite corners inside are joined through the middle where the middle is inside. */
function crossings(corners: number, joined: boolean): readonly (readonly [number, number])[] {
  if (corners === 5)
    return joined
      ? [
          [3, 2],
          [1, 0],
        ]
      : [
          [3, 0],
          [1, 2],
        ];
  if (corners === 10)
    return joined
      ? [
          [0, 3],
          [2, 1],
        ]
      : [
          [0, 1],
          [2, 3],
        ];
  return CROSSINGS[corners]!;
}
