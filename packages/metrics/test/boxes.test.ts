import { readFileSync } from "node:fs";
import { cocoScores, referringScores, type CocoBox, type CocoImage, type CocoRuns } from "@paligemma/metrics";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";

interface Item {
  readonly image_id: number;
  readonly category_id: number;
  readonly bbox: CocoBox;
  readonly area?: number;
  readonly iscrowd?: number;
  readonly score?: number;
  readonly segmentation?: CocoRuns;
}
interface Case {
  readonly name: string;
  readonly images: number;
  readonly kind: "bbox" | "segm";
  readonly truths: readonly Item[];
  readonly found: readonly Item[];
  readonly stats: readonly number[];
  readonly perCategory: Readonly<Record<string, number>>;
}

const { cases } = JSON.parse(readFileSync(new URL("fixtures/coco.json", import.meta.url), "utf8")) as { cases: Case[] };

function imagesOf({ images, truths, found }: Case): CocoImage[] {
  return Array.from({ length: images }, (_, i) => ({
    truths: truths
      .filter((truth) => truth.image_id === i + 1)
      .map(({ category_id, bbox, area, iscrowd, segmentation }) => ({
        category: category_id,
        bbox,
        crowd: iscrowd === 1,
        ...(area !== undefined && { area }),
        ...(segmentation && { mask: segmentation }),
      })),
    detections: found
      .filter((detection) => detection.image_id === i + 1)
      .map(({ category_id, bbox, score, segmentation }) => ({
        category: category_id,
        bbox,
        score: score ?? Number.NaN,
        ...(segmentation && { mask: segmentation }),
      })),
  }));
}

describe("cocoScores", () => {
  it.each(cases)("equals pycocotools: $name", (one) => {
    const { perCategory, ...scores } = cocoScores(imagesOf(one), { compare: one.kind === "segm" ? "mask" : "box" });
    const ours = [
      scores.ap,
      scores.ap50,
      scores.ap75,
      scores.apSmall,
      scores.apMedium,
      scores.apLarge,
      scores.ar1,
      scores.ar10,
      scores.ar100,
      scores.arSmall,
      scores.arMedium,
      scores.arLarge,
    ];
    const off = ours.map((score, i) => Math.abs((score ?? -1) - (one.stats[i] ?? Number.NaN)));
    expect(Math.max(...off)).toBeLessThanOrEqual(TOLERANCES.metrics);
    expect([...perCategory.keys()].map(String).toSorted()).toEqual(Object.keys(one.perCategory).toSorted());
    for (const [category, ap] of perCategory)
      expect(Math.abs(ap - (one.perCategory[String(category)] ?? Number.NaN))).toBeLessThanOrEqual(TOLERANCES.metrics);
  });

  it("refuses what cannot be scored", () => {
    const detection = { category: "cat", bbox: [0, 0, 1, 1], score: Number.NaN } as const;
    expect(() => cocoScores([])).toThrow(/metrics\/empty/);
    expect(() => cocoScores([{ truths: [], detections: [detection, detection] }])).toThrow(/metrics\/score/);
    expect(() => cocoScores([{ truths: [], detections: [{ ...detection, score: 1 }] }], { compare: "mask" })).toThrow(
      /metrics\/mask: an object of "cat"/,
    );
  });
});

describe("referringScores", () => {
  const mask = (text: string): { width: number; height: number; data: number[] } => ({
    width: text.length,
    height: 1,
    data: Array.from(text, Number),
  });
  const box = { yMin: 0, xMin: 0, yMax: 1, xMax: 0.5 };

  it("gives the mean, the cumulative and the box scores", () => {
    const scores = referringScores([
      { truth: mask("1100"), prediction: mask("0110"), truthBox: box, predictionBox: { ...box, xMax: 0.8 } },
      { truth: mask("11110000"), truthBox: box },
      { truth: mask("1"), prediction: mask("1"), truthBox: box, predictionBox: box },
    ]);
    expect(scores.meanIou).toBeCloseTo((1 / 3 + 0 + 1) / 3, 12);
    expect(scores.cumulativeIou).toBeCloseTo(2 / 8, 12);
    expect(scores).toMatchObject({ boxAccuracy50: 2 / 3, boxAccuracy75: 1 / 3, invalid: 1, total: 3 });
  });

  it("refuses masks of different sizes", () => {
    expect(() => referringScores([{ truth: mask("11"), prediction: mask("1") }])).toThrow(/metrics\/size/);
    expect(() => referringScores([])).toThrow(/metrics\/empty/);
  });
});
