import { readFileSync } from "node:fs";
import {
  anls,
  countMatch,
  editDistance,
  fieldF1,
  meanByGroup,
  normaliseVqaAnswer,
  normalisedEditDistance,
  relaxedMatch,
  simpleVqaAccuracy,
  vqaAccuracy,
  type FieldValue,
} from "@paligemma/metrics";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";

interface Oracle {
  readonly normalised: readonly [string, string][];
  readonly questions: readonly { readonly prediction: string; readonly answers: string[]; readonly accuracy: number }[];
  readonly distances: readonly [string, string, number, number, number][];
  readonly charts: readonly [string, string, boolean][];
  readonly counts: readonly [string, string][];
  readonly fields: readonly {
    readonly predictions: FieldValue[];
    readonly truths: FieldValue[];
    readonly f1: number;
  }[];
}

const oracle = JSON.parse(readFileSync(new URL("fixtures/texts.json", import.meta.url), "utf8")) as Oracle;
const TOLERANCE = TOLERANCES.metrics;
const isOff = (a: number, b: number): boolean => !(Math.abs(a - b) <= TOLERANCE);

describe("VQA accuracy", () => {
  it("normalises as the official code does", () => {
    expect(oracle.normalised.length).toBeGreaterThan(400);
    expect(oracle.normalised.filter(([text, wanted]) => normaliseVqaAnswer(text) !== wanted)).toEqual([]);
  });

  it("scores as the official code does", () => {
    expect(
      oracle.questions.filter(({ prediction, answers, accuracy }) => isOff(vqaAccuracy(prediction, answers), accuracy)),
    ).toEqual([]);
  });

  it("normalises only where people disagree", () => {
    const agreed = Array.from({ length: 10 }, () => "The cat.");
    expect(vqaAccuracy("cat", agreed)).toBe(0);
    expect(vqaAccuracy("cat", [...agreed.slice(1), "a cat"])).toBe(1);
    expect(() => vqaAccuracy("cat", [])).toThrow(/metrics\/answers/);
  });
});

describe("edit distance and ANLS", () => {
  it("equal the official ones", () => {
    const wrong = oracle.distances.filter(
      ([target, prediction, distance, cased, folded]) =>
        editDistance(target, prediction) !== distance ||
        isOff(anls(prediction, [target], { lowerCase: false }), cased) ||
        isOff(anls(prediction, [target]), folded),
    );
    expect(wrong).toEqual([]);
  });

  it("take the best answer, and count from the threshold on as nothing", () => {
    expect(anls("hello", ["xyz", "helo"])).toBeCloseTo(0.8, 12);
    expect(anls("ab", ["abcd"])).toBe(0);
    expect(anls("ab", ["abcd"], { threshold: 0.6 })).toBe(0.5);
    expect([normalisedEditDistance("", ""), normalisedEditDistance("👩‍🚀", "👩")]).toEqual([0, 2 / 3]);
    expect(() => anls("a", [])).toThrow(/metrics\/answers/);
    expect(() => anls("a", ["a"], { theta: 1 } as never)).toThrow(/metrics\/option/);
  });
});

describe("matches", () => {
  it("relax numbers as the official code does", () => {
    expect(oracle.charts.filter(([target, prediction, wanted]) => relaxedMatch(prediction, target) !== wanted)).toEqual(
      [],
    );
    expect(relaxedMatch("Yes", "yes", { lowerCase: true })).toBe(true);
  });

  it("read counts in words", () => {
    expect(oracle.counts.filter(([word, number]) => !countMatch(word, number))).toEqual([]);
    expect(countMatch("three", "4")).toBe(false);
  });

  it("compare simple answers", () => {
    expect(simpleVqaAccuracy("a", ["a", "b", "a"])).toEqual({ accuracy: 2 / 3, any: 1 });
    expect(simpleVqaAccuracy("A", ["a"])).toEqual({ accuracy: 0, any: 0 });
    expect(simpleVqaAccuracy("A", ["a"], { lowerCase: true })).toEqual({ accuracy: 1, any: 1 });
  });

  it("average by group", () => {
    const { mean, groups } = meanByGroup([
      { score: 1, group: "yes/no" },
      { score: 0, group: "yes/no" },
      { score: 1, group: "other" },
      { score: 0 },
    ]);
    expect(mean).toBe(0.5);
    expect([...groups]).toEqual([
      ["yes/no", { mean: 0.5, count: 2 }],
      ["other", { mean: 1, count: 1 }],
    ]);
    expect(() => meanByGroup([])).toThrow(/metrics\/empty/);
  });
});

describe("field F1", () => {
  it("counts as Donut does", () => {
    const scored = oracle.fields.map(({ predictions, truths, f1 }) => ({
      f1,
      ours: fieldF1(truths.map((truth, i) => ({ truth, prediction: predictions[i] ?? null }))).f1,
    }));
    expect(scored.filter(({ f1, ours }) => isOff(f1, ours))).toEqual([]);
  });

  it("tells precision from recall", () => {
    const scores = fieldF1([
      { prediction: { total: "5", tax: "1" }, truth: { total: "5", date: "x", menu: [{ nm: "a" }] } },
    ]);
    expect(scores).toMatchObject({ correct: 1, predicted: 2, wanted: 3, precision: 1 / 2, recall: 1 / 3 });
    expect(fieldF1([]).f1).toBe(1);
  });
});
