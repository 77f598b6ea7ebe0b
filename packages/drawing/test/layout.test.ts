import { layoutDrawing, toSvg, type DrawnObject, type Rectangle } from "@paligemma/drawing";
import { describe, expect, it } from "vitest";

const box = { yMin: 0.1, xMin: 0.2, yMax: 0.8, xMax: 0.7 };

function crowd(count: number, seed = 3): DrawnObject[] {
  let state = seed;
  const random = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  return Array.from({ length: count }, (_, i) => {
    const [yMin, xMin] = [random() * 0.95, random() * 0.95];
    return {
      label: `object ${i % 11}`,
      box: { yMin, xMin, yMax: Math.min(1, yMin + random() * 0.4), xMax: Math.min(1, xMin + random() * 0.4) },
    };
  });
}

const covers = (a: Rectangle, b: Rectangle): boolean =>
  Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x) > 1e-9 &&
  Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y) > 1e-9;

describe("layoutDrawing", () => {
  it.each([
    [100, 100],
    [640, 480],
    [8000, 8000],
    [3000, 60],
    [20, 2000],
  ])("keeps labels apart and inside at %i × %i", (width, height) => {
    for (const count of [1, 5, 40, 120]) {
      const { labels, unplaced } = layoutDrawing(crowd(count), { width, height });
      expect(labels.length + unplaced.length).toBe(count);
      const clashes = labels.flatMap((a, i) => labels.slice(i + 1).filter((b) => covers(a, b)));
      expect(clashes).toEqual([]);
      const outside = labels.filter(
        (l) => l.x < 0 || l.y < 0 || l.x + l.width > width + 1e-9 || l.y + l.height > height + 1e-9,
      );
      expect(outside).toEqual([]);
    }
  });

  it("places all labels of forty objects on an ordinary picture", () => {
    expect(layoutDrawing(crowd(40), { width: 640, height: 480 }).unplaced).toEqual([]);
  });

  it("gives equal labels equal colours, and lines apart after the seventh", () => {
    const objects = Array.from({ length: 9 }, (_, i) => ({ label: String(i % 8), box }));
    const strokes = layoutDrawing(objects, { width: 500, height: 500 }, { labels: false }).marks.filter(
      (m) => m.kind === "path" && m.opacity === undefined,
    );
    expect(strokes).toHaveLength(9);
    const looks = strokes.map((m) => (m.kind === "path" ? `${m.stroke} ${m.dash?.length ?? 0}` : ""));
    expect(looks[8]).toBe(looks[0]);
    expect(new Set(looks).size).toBe(8);
  });

  it("refuses what it cannot draw", () => {
    const size = { width: 10, height: 10 };
    expect(() => layoutDrawing([{ box: { ...box, xMax: Number.NaN } }], size)).toThrow(/drawing\/box/);
    expect(() => layoutDrawing([{ box, color: "red" }], size)).toThrow(/drawing\/color/);
    expect(() => layoutDrawing([{ mask: { data: [1], width: 2, height: 2 } }], size)).toThrow(/drawing\/mask/);
    expect(() => layoutDrawing([], { width: 0, height: 10 })).toThrow(/drawing\/size/);
    expect(() => layoutDrawing([], size, { size: 3 } as never)).toThrow(/drawing\/option/);
  });
});

describe("toSvg", () => {
  it("needs no font, and escapes what a label holds", () => {
    const svg = toSvg(layoutDrawing([{ label: `<script>&"猫\u0000`, box }], { width: 300, height: 200 }));
    expect(svg).not.toMatch(/<text|<script|NaN|undefined/);
    const system = toSvg(
      layoutDrawing([{ label: `<b>&"猫\u0000\ud800`, box }], { width: 300, height: 200 }, { otherScripts: "system" }),
    );
    expect(system).toContain('>&lt;b&gt;&amp;"猫</text>');
  });
});
