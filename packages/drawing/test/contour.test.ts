import { contourPath, type Path } from "@paligemma/drawing";
import { describe, expect, it } from "vitest";

const unit = { x: 0, y: 0, width: 1, height: 1 };

/** Area inside closed lines by the shoelace rule; lines around holes count against it. */
function area(path: Path): number {
  let [sum, start, last] = [0, [0, 0], [0, 0]];
  for (const step of path) {
    const [x = 0, y = 0] = step[0] === "Z" ? start : [step[1], step[2]];
    if (step[0] === "M") start = [x, y];
    else sum += (last[0] ?? 0) * y - x * (last[1] ?? 0);
    last = [x, y];
  }
  return Math.abs(sum) / 2;
}

const rings = (path: Path): number => path.filter((step) => step[0] === "Z").length;

describe("contourPath", () => {
  it("runs along the rim where the mask is full, and is empty where nothing is inside", () => {
    const full = contourPath(
      { data: new Uint8Array(12).fill(1), width: 4, height: 3 },
      { x: 10, y: 20, width: 40, height: 30 },
    );
    expect(area(full)).toBeCloseTo(1200, 9);
    expect(rings(full)).toBe(1);
    expect(contourPath({ data: new Uint8Array(12), width: 4, height: 3 }, unit)).toEqual([]);
  });

  it("follows soft values between samples", () => {
    const data = Float32Array.from({ length: 64 * 64 }, (_, i) => 20 - Math.hypot((i % 64) - 31.5, (i >> 6) - 31.5));
    const path = contourPath({ data, width: 64, height: 64, threshold: 0 }, { x: 0, y: 0, width: 640, height: 640 });
    expect(area(path) / (Math.PI * 200 ** 2)).toBeCloseTo(1, 2);
  });

  it("keeps parts and holes apart", () => {
    const mask = (text: string, width: number): Path =>
      contourPath({ data: Array.from(text, Number), width, height: text.length / width }, unit);
    expect(rings(mask("111101111", 3))).toBe(2);
    expect(rings(mask("100000001", 3))).toBe(2);
    expect(rings(mask("110011001", 3))).toBe(1);
  });

  it("gives back any binary mask's area where parts are large", () => {
    const data = Uint8Array.from({ length: 100 * 80 }, (_, i) =>
      i % 100 >= 20 && i % 100 < 70 && i >= 1000 && i < 6000 ? 1 : 0,
    );
    expect(area(contourPath({ data, width: 100, height: 80 }, { x: 0, y: 0, width: 100, height: 80 }))).toBeCloseTo(
      50 * 50 - 0.5,
      9,
    );
  });
});
