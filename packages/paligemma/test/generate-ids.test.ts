import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { generate, type GenerateOptions } from "@paligemma/generation";
import { createModel, type PaliGemmaModel } from "paligemma";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { INPUTS, NAMES, int64, maskOf, openTiny, pixels, upToEnd, type Tiny } from "./hf-tiny.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await createNodeBackend();
});
afterAll(async () => {
  await backend.dispose();
});

const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The prefix function of the fixtures: four ids, whatever came before. */
const prefixAllowedTokensFn = (): number[] => [20, 21, 22, 1];

/** Arguments of transformers' generate as our options. */
function optionsOf(args: Record<string, unknown>): GenerateOptions {
  const entries = Object.entries(args).map(([key, value]) => [
    camel(key),
    value === "fn" ? prefixAllowedTokensFn : value,
  ]);
  return Object.fromEntries(entries.filter(([key]) => key !== "doSample")) as GenerateOptions;
}

describe.each(NAMES)("generation with %s equals transformers", (name) => {
  let tiny: Tiny;
  let model: PaliGemmaModel;
  beforeAll(async () => {
    tiny = await openTiny(name);
    model = await createModel({ config: tiny.config, checkpoint: tiny.checkpoint, backend });
  });
  afterAll(async () => {
    await model.dispose();
  });

  it.each([
    "gen.greedy",
    "gen.greedy_batch",
    "gen.greedy_min8",
    "gen.rep1.5",
    "gen.ngram2",
    "gen.badwords",
    "gen.beam3",
    "gen.beam3_lp2",
    "gen.beam3_lp-1_early",
    "gen.beam3_never",
    "gen.beam2_batch",
    "gen.prefix_fn",
  ])("%s", async (key) => {
    const expected = tiny.answers[key]!;
    const rows = key.endsWith("batch") ? INPUTS.B : INPUTS.A;
    const inputs = { pixelValues: pixels(rows.length), inputIds: int64(rows), attentionMask: maskOf(rows) };
    using state = await model.start(inputs);
    const made = await generate(state, { eosTokenId: 1, promptIds: rows, ...optionsOf(expected.args) });
    expect(made.sequences).toEqual(expected.new_tokens.map(upToEnd));
    expected.sequences_scores?.forEach((score, i) => {
      const allowed = TOLERANCES["generation/beam-score"] * Math.max(1, Math.abs(score));
      expect(Math.abs(made.scores![i]! - score)).toBeLessThan(allowed);
    });
  });

  it("feeds several tokens at once, forgets them and forks with the same scores", async () => {
    const inputs = { pixelValues: pixels(2), inputIds: int64(INPUTS.B), attentionMask: maskOf(INPUTS.B) };
    using one = await model.start(inputs);
    using many = await model.start(inputs);
    const steps: number[][] = [];
    for (const token of [20, 21, 22]) {
      await one.advance([token, token + 1]);
      steps.push([...(await one.logits()).data]);
    }
    const every = await many.advanceMany(
      [
        [20, 21, 22],
        [21, 22, 23],
      ],
      "every",
    );
    expect(every.rows).toBe(6);
    const at = (row: number, p: number): number[] => [
      ...every.data.subarray((row * 3 + p) * 300, (row * 3 + p + 1) * 300),
    ];
    steps.forEach((step, p) => {
      const both = [...at(0, p), ...at(1, p)];
      both.forEach((score, i) => expect(Math.abs(score - step[i]!)).toBeLessThan(TOLERANCES["hf-tiny/logits"]));
    });

    await many.rollback(2);
    await many.advance([21, 22]);
    using twin = await many.fork();
    for (const state of [many, twin]) {
      const { data } = await state.logits();
      steps[1]!.forEach((score, i) => expect(Math.abs(data[i]! - score)).toBeLessThan(TOLERANCES["hf-tiny/logits"]));
    }
  });
});
