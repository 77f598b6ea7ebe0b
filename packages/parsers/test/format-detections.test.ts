import {
  PALIGEMMA_IDS,
  formatDetectionIds,
  formatDetections,
  parseDetectionIds,
  parseDetections,
  type Detection,
} from "@paligemma/parsers";
import { describe, expect, it } from "vitest";
import { createRandom } from "./random.ts";

const LETTERS = ["a", "Z", " ", "é", "猫", "👩‍🚀", ",", ".", "<", ">", "-", "/", '"', "0", "<loc", "seg>", "̈"];

function randomDetections(seed: number, divisor: number): Detection[] {
  const random = createRandom(seed);
  const bin = (): number => random.below(1024) / divisor;
  return Array.from({ length: random.below(6) }, () => ({
    label: Array.from({ length: random.below(8) }, () => random.pick(LETTERS))
      .join("")
      .trim(),
    box: { yMin: bin(), xMin: bin(), yMax: bin(), xMax: bin() },
    ...(random.next() < 0.5 && { codes: Array.from({ length: 16 }, () => random.below(128)) }),
  }));
}

const encode = (text: string): number[] => Array.from(text, (letter) => letter.codePointAt(0)! + 300_000);
const decode = (ids: number[]): string => String.fromCodePoint(...ids.map((id) => id - 300_000));
const bare = (items: readonly Detection[]): Detection[] =>
  items.map(({ label, box, codes }) => ({ label, box, ...(codes && { codes }) }));

describe("formatDetections", () => {
  it("writes what the model writes", () => {
    const box = { yMin: 0, xMin: 1 / 3, yMax: 2 / 3, xMax: 1 };
    const text = formatDetections([
      { label: "cat", box },
      { label: "", box, codes: Array(16).fill(7) },
    ]);
    expect(text).toBe(
      `<loc0000><loc0341><loc0682><loc1023> cat ; <loc0000><loc0341><loc0682><loc1023>${"<seg007>".repeat(16)}`,
    );
  });

  it("rounds half to even and clips, as the published encoder does", () => {
    const box = { yMin: 0.5 / 1023, xMin: 1.5 / 1023, yMax: -3, xMax: 3 };
    expect(formatDetections([{ label: "", box }])).toBe("<loc0000><loc0002><loc0000><loc1023>");
  });

  it("is inverted by parseDetections", () => {
    for (let seed = 0; seed < 500; seed++) {
      for (const binDivisor of [1023, 1024] as const) {
        const detections = randomDetections(seed, binDivisor);
        const { items, rest } = parseDetections(formatDetections(detections, { binDivisor }), undefined, {
          binDivisor,
        });
        expect(bare(items)).toEqual(detections);
        expect(rest).toBe("");
      }
    }
  });

  it("is inverted on ids", () => {
    for (let seed = 0; seed < 500; seed++) {
      const detections = randomDetections(seed, 1023);
      const { items, rest } = parseDetectionIds(
        formatDetectionIds(detections, { encode, markup: PALIGEMMA_IDS }),
        undefined,
        { decode },
      );
      expect(bare(items)).toEqual(detections);
      expect(rest).toBe("");
    }
  });

  it.each(["a;b", "a\nb", " a", "a ", "<loc0001>", "x <seg001>", "<eos>"])("refuses the label %j", (label) => {
    expect(() => formatDetections([{ label, box: { yMin: 0, xMin: 0, yMax: 1, xMax: 1 } }])).toThrow(/parsers\/label/);
  });

  it("refuses codes and boxes it cannot write", () => {
    const box = { yMin: 0, xMin: 0, yMax: 1, xMax: 1 };
    expect(() => formatDetections([{ label: "", box, codes: [1] }])).toThrow(/parsers\/codes: 1 mask codes/);
    expect(() => formatDetections([{ label: "", box, codes: Array(16).fill(128) }])).toThrow(/parsers\/codes/);
    expect(() => formatDetections([{ label: "", box: { ...box, xMax: Number.NaN } }])).toThrow(/parsers\/box/);
  });
});
