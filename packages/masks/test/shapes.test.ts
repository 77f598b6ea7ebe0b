import { readFileSync } from "node:fs";
import {
  compressRle,
  cutOut,
  decompressRle,
  emptyMask,
  intersectionArea,
  maskArea,
  maskBounds,
  maskBox,
  maskFromPolygons,
  maskFromRle,
  maskIou,
  polygonsFromMask,
  ringArea,
  rleArea,
  rleFromMask,
  toBinary,
  unionByLabel,
  unionMasks,
  type Mask,
} from "@paligemma/masks";
import { describe, expect, it } from "vitest";

interface Oracle {
  readonly encoded: {
    readonly rows: string[];
    readonly size: [number, number];
    readonly counts: string;
    readonly area: number;
    readonly box: number[];
  }[];
  readonly polygonSize: [number, number];
  readonly filled: { readonly polygon: number[]; readonly counts: string; readonly area: number }[];
  readonly pairSize: [number, number];
  readonly pairs: { readonly a: string; readonly b: string; readonly iou: number }[];
}

const oracle = JSON.parse(readFileSync(new URL("fixtures/shapes.json", import.meta.url), "utf8")) as Oracle;

/** A mask drawn in letters: # is inside. */
function draw(...rows: string[]): Mask {
  return {
    width: rows[0]?.length ?? 0,
    height: rows.length,
    data: Uint8Array.from(rows.join(""), (letter) => (letter === "#" || letter === "1" ? 1 : 0)),
  };
}

describe("run lengths", () => {
  it.each(oracle.encoded.map((one, i) => ({ ...one, i })))(
    "agree with pycocotools on mask $i",
    ({ rows, size, counts, area, box }) => {
      const mask = draw(...rows);
      const packed = compressRle(rleFromMask(mask));
      expect(packed).toEqual({ size, counts });
      expect(maskFromRle({ size, counts })).toEqual(mask);
      expect(compressRle(packed)).toBe(packed);
      expect([maskArea(mask), rleArea(packed)]).toEqual([area, area]);
      const bounds = maskBounds(mask);
      expect(
        bounds ? [bounds.left, bounds.top, bounds.right - bounds.left, bounds.bottom - bounds.top] : [0, 0, 0, 0],
      ).toEqual(box);
    },
  );

  it("refuse what does not fill the mask", () => {
    expect(() => maskFromRle({ size: [2, 2], counts: [1, 2] })).toThrow(/masks\/rle: .*3 pixels together.*4 pixels/);
    expect(() => maskFromRle({ size: [2, 2], counts: [1, -1, 4] })).toThrow(/masks\/rle/);
    expect(() => maskFromRle({ size: [2, 2], counts: "o~" })).toThrow(/masks\/rle/);
    expect(() => maskFromRle({ size: [2, 2], counts: "oooooooooo" })).toThrow(/masks\/rle/);
    expect(() => decompressRle({ size: [2 ** 20, 2 ** 20], counts: [2 ** 40] })).toThrow(/masks\/size/);
  });
});

describe("polygons", () => {
  it.each(oracle.filled.map((one, i) => ({ ...one, i })))(
    "are filled as pycocotools fills them: $i",
    ({ polygon, counts, area }) => {
      const [height, width] = oracle.polygonSize;
      const mask = maskFromPolygons([polygon], { width, height });
      expect(compressRle(rleFromMask(mask)).counts).toBe(counts);
      expect(maskArea(mask)).toBe(area);
    },
  );

  it("outline any mask so that it can be filled again exactly", () => {
    for (const { rows } of oracle.encoded) {
      const mask = draw(...rows);
      const polygons = polygonsFromMask(mask);
      expect(maskFromPolygons(polygons, mask)).toEqual(mask);
      const area = polygons.reduce(
        (sum, { outline, holes }) => sum + ringArea(outline) + holes.reduce((inner, hole) => inner + ringArea(hole), 0),
        0,
      );
      expect(area).toBe(maskArea(mask));
    }
  });

  it("keep parts and holes apart", () => {
    const ring = draw("####..", "#..#..", "#..#.#", "####..");
    expect(polygonsFromMask(ring)).toEqual([
      {
        outline: [4, 0, 4, 4, 0, 4, 0, 0],
        holes: [[3, 3, 3, 1, 1, 1, 1, 3]],
      },
      { outline: [6, 2, 6, 3, 5, 3, 5, 2], holes: [] },
    ]);
    expect(polygonsFromMask(draw("#.", ".#"))).toHaveLength(2);
    expect(polygonsFromMask(ring, { minimumArea: 5 })).toEqual([{ outline: [4, 0, 4, 4, 0, 4, 0, 0], holes: [] }]);
  });

  it("become simpler within the tolerance", () => {
    const size = 80;
    const data = Uint8Array.from({ length: size * size }, (_, i) =>
      Math.hypot((i % size) - 40, Math.floor(i / size) - 40) < 30 ? 1 : 0,
    );
    const disc = { width: size, height: size, data };
    const [exact, simple] = [polygonsFromMask(disc), polygonsFromMask(disc, { tolerance: 1 })].map(
      (polygons) => polygons.at(0)?.outline ?? [],
    );
    expect((simple?.length ?? 0) * 2).toBeLessThan(exact?.length ?? 0);
    expect(maskIou(disc, maskFromPolygons([simple ?? []], disc))).toBeGreaterThan(0.95);
  });

  it("refuse what is no area, and corners at the end of the world", () => {
    expect(() => maskFromPolygons([[0, 0, 1, 1]], { width: 4, height: 4 })).toThrow(/masks\/polygon/);
    expect(() => maskFromPolygons([[0, 0, 1e12, 1, 3, 4]], { width: 4, height: 4 })).toThrow(/masks\/polygon/);
    expect(() => maskFromPolygons([[0, 0, Number.NaN, 1, 3, 4]], { width: 4, height: 4 })).toThrow(/masks\/polygon/);
  });
});

describe("masks", () => {
  const [height, width] = oracle.pairSize;
  it.each(oracle.pairs)("overlap as pycocotools says: $iou", ({ a, b, iou }) => {
    const [one, other] = [a, b].map((counts) => maskFromRle({ size: [height, width], counts }));
    expect(maskIou(one ?? emptyMask(0, 0), other ?? emptyMask(0, 0))).toBe(iou);
  });

  it("know their box as fractions", () => {
    expect(maskBox(draw("....", ".##.", "....", "...."))).toEqual({ yMin: 0.25, xMin: 0.25, yMax: 0.5, xMax: 0.75 });
    expect(maskBox(emptyMask(3, 3))).toBeUndefined();
  });

  it("unite, by label too", () => {
    const [a, b, c] = [draw("#.."), draw(".#."), draw("..#")];
    expect(unionMasks([a, b])).toEqual(draw("##."));
    expect([
      ...unionByLabel([
        { label: "x", mask: a },
        { label: "y", mask: b },
        { label: "x", mask: c },
      ]),
    ]).toEqual([
      ["x", draw("#.#")],
      ["y", draw(".#.")],
    ]);
    expect(intersectionArea(draw("##."), draw(".##"))).toBe(1);
    expect(() => maskIou(a, draw("#"))).toThrow(/masks\/size: .*3 × 1 against one of 1 × 1/);
    expect(() => unionMasks([])).toThrow(/masks\/size/);
  });

  it("become binary above the threshold", () => {
    const soft = { width: 3, height: 1, data: Float32Array.of(0.2, 0.5, 0.6) };
    expect([toBinary(soft).data, toBinary(soft, 0.1).data]).toEqual([Uint8Array.of(0, 0, 1), Uint8Array.of(1, 1, 1)]);
  });
});

describe("cutOut", () => {
  it("makes the rest transparent, softly, and crops", () => {
    const image = { width: 2, height: 1, channels: 3, data: Uint8Array.of(1, 2, 3, 4, 5, 6) } as const;
    expect(cutOut(image, { width: 2, height: 1, data: Float32Array.of(0.5, 0) }).data).toEqual(
      Uint8Array.of(1, 2, 3, 128, 4, 5, 6, 0),
    );
    expect(cutOut(image, draw(".#"), { crop: true })).toEqual({
      width: 1,
      height: 1,
      channels: 4,
      data: Uint8Array.of(4, 5, 6, 255),
    });
    const grey = { width: 2, height: 1, channels: 2, data: Uint8Array.of(9, 100, 8, 200) } as const;
    expect(cutOut(grey, draw("##")).data).toEqual(Uint8Array.of(9, 9, 9, 100, 8, 8, 8, 200));
    expect(() => cutOut(image, draw("#"))).toThrow(/masks\/size/);
  });
});
