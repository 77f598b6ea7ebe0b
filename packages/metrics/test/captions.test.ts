import { readFileSync } from "node:fs";
import { cider, tokeniseCaption, type CaptionExample } from "@paligemma/metrics";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`fixtures/${name}`, import.meta.url), "utf8"));
const { corpora } = fixture("captions.json") as {
  corpora: { examples: CaptionExample[]; mean: number; scores: number[] }[];
};
const { cases } = fixture("caption-tokens.json") as { cases: [string, string][] };

describe("cider", () => {
  it.each(corpora)("equals pycocoevalcap, mean $mean", ({ examples, mean, scores }) => {
    const ours = cider(examples);
    const farthest = scores.reduce(
      (far, score, i) => Math.max(far, Math.abs(score - (ours.scores[i] ?? Number.NaN))),
      Math.abs(mean - ours.mean),
    );
    expect(farthest).toBeLessThanOrEqual(TOLERANCES.metrics);
    expect(ours.scores).toHaveLength(scores.length);
  });

  it("needs images with references", () => {
    expect(() => cider([])).toThrow(/metrics\/references: no images/);
    expect(() => cider([{ prediction: "a", references: [] }])).toThrow(/metrics\/references: image 0/);
  });
});

describe("tokeniseCaption", () => {
  it("gives the words of the official tokeniser for 99 % of captions", () => {
    const different = cases.filter(([caption, tokens]) => tokeniseCaption(caption) !== tokens);
    expect(cases.length).toBeGreaterThan(800);
    expect(different.length).toBeLessThanOrEqual(cases.length * 0.01);
  });

  it("never fails on odd text", () => {
    expect(tokeniseCaption("")).toBe("");
    expect(tokeniseCaption("👩‍🚀 \ud800 \u0000 猫が座る\n。")).toContain("猫が座る");
    expect(tokeniseCaption("-".repeat(20_000))).toBe("-".repeat(20_000));
    expect(tokeniseCaption("a-".repeat(5000))).toContain("a-a");
  });
});
