import { readFileSync } from "node:fs";
import { cider, type CaptionExample } from "@paligemma/metrics";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`fixtures/${name}`, import.meta.url), "utf8"));
const { corpora } = fixture("captions.json") as {
  corpora: { examples: CaptionExample[]; mean: number; scores: number[] }[];
};

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
