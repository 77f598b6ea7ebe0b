/** One step of an outline in pixels: move, line, quadratic curve (control point, end point), close. */
export type PathStep =
  | readonly ["M", number, number]
  | readonly ["L", number, number]
  | readonly ["Q", number, number, number, number]
  | readonly ["Z"];

/** An outline: any number of closed or open lines. */
export type Path = readonly PathStep[];

/** A rectangle in pixels. */
export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The outline of a rectangle with corners rounded by `radius` pixels. */
export function rectanglePath({ x, y, width, height }: Rectangle, radius = 0): Path {
  const r = Math.min(radius, width / 2, height / 2);
  const [right, bottom] = [x + width, y + height];
  if (r <= 0) return [["M", x, y], ["L", right, y], ["L", right, bottom], ["L", x, bottom], ["Z"]];
  return [
    ["M", x + r, y],
    ["L", right - r, y],
    ["Q", right, y, right, y + r],
    ["L", right, bottom - r],
    ["Q", right, bottom, right - r, bottom],
    ["L", x + r, bottom],
    ["Q", x, bottom, x, bottom - r],
    ["L", x, y + r],
    ["Q", x, y, x + r, y],
    ["Z"],
  ];
}

/** The path scaled, then moved. */
export function transformPath(path: Path, scale: number, dx: number, dy: number): Path {
  return path.map((step): PathStep => {
    if (step[0] === "Z") return step;
    const [x, y] = [step[1] * scale + dx, step[2] * scale + dy];
    return step[0] === "Q" ? ["Q", x, y, step[3] * scale + dx, step[4] * scale + dy] : [step[0], x, y];
  });
}

/** Pixels that two rectangles share; 0 where they only touch. */
export function overlapArea(a: Rectangle, b: Rectangle): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  return width > 0 && height > 0 ? width * height : 0;
}
