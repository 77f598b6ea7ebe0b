import { transformScores, type GenerateOptions } from "@paligemma/generation";
import * as p from "@paligemma/generation/processors";
import { describe, expect, test } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { camel, fixture, hashScore } from "./sources.ts";

type Numbers = readonly (number | "-inf" | null)[];

function expectScores(given: Float32Array, wanted: Numbers, name: string): void {
  const numbers = wanted.map((score) => (typeof score === "number" ? score : -Infinity));
  expect({ name, left: Array.from(given, Number.isFinite) }).toEqual({ name, left: numbers.map(Number.isFinite) });
  given.forEach((score, i) => {
    if (!Number.isFinite(score)) return;
    const difference = Math.abs(score - numbers[i]!) / Math.max(1, Math.abs(numbers[i]!));
    if (difference > TOLERANCES["generation/scores"]) throw new Error(`${name}: token ${i} is off by ${difference}`);
  });
}

describe("golden vectors of transformers", () => {
  const golden = fixture("logits_processors.json") as {
    logits: readonly Numbers[];
    input_ids: readonly (readonly number[])[];
    cases: Readonly<Record<string, readonly Numbers[]>>;
  };
  const ids = golden.input_ids[0]!;
  const low = (scores: Float32Array): Float32Array => scores.fill(-3, 7, 8);
  const cases: Readonly<
    Record<
      string,
      readonly ((
        scores: Float32Array,
        view: { ids: readonly number[]; promptLength: number; request: number },
      ) => void)[]
    >
  > = {
    "temperature=0.7": [p.temperature(0.7)],
    "top_k=3": [p.topK(3)],
    "top_p=0.8": [p.topP(0.8)],
    "top_p=0.5": [p.topP(0.5)],
    "top_p=0.5,min_keep=4": [p.topP(0.5, 4)],
    "min_p=0.3": [p.minP(0.3)],
    "typical_p=0.5": [p.typicalP(0.5)],
    "typical_p=0.9": [p.typicalP(0.9)],
    "epsilon_cutoff=0.05": [p.epsilonCutoff(0.05)],
    "eta_cutoff=0.05": [p.etaCutoff(0.05)],
    "top_h=0.5": [p.topH(0.5)],
    "repetition_penalty=1.5": [p.repetitionPenalty(1.5)],
    "repetition_penalty=1.5 (logit[7]=-3)": [low, p.repetitionPenalty(1.5)],
    "repetition_penalty=1.5,prompt_ignore_length=3": [p.repetitionPenalty(1.5, 3)],
    "no_repeat_ngram_size=2": [p.noRepeatNgram(2)],
    "no_repeat_ngram_size=3": [p.noRepeatNgram(3)],
    "no_repeat_ngram_size=1": [p.noRepeatNgram(1)],
    "bad_words=[[0],[8,5],[7,8,2],[3,9]],eos=1": [p.badWords([[0], [8, 5], [7, 8, 2], [3, 9]], [1])],
    "bad_words=[[1],[0]],eos=1": [p.badWords([[1], [0]], [1])],
    "sequence_bias={(8,4):5.0,(0,):-2.0}": [
      p.sequenceBias([
        [[8, 4], 5],
        [[0], -2],
      ]),
    ],
    "min_length=9,eos=1": [p.minLength(9, [1])],
    "min_length=8,eos=1": [p.minLength(8, [1])],
    "min_new_tokens=4,prompt=5,eos=[1,0]": [p.minNewTokens(4, [1, 0])],
    "suppress=[0,7]": [p.suppress([0, 7])],
    "exp_decay=(1,1.5),prompt=5,eos=1": [p.exponentialDecay(1, 1.5, [1])],
    "forced_eos,max_length=9,eos=1": [p.forcedEos([1], () => 4)],
    log_softmax: [p.logSoftmax],
    "prefix_allowed=[1,2]": [(scores, view) => p.prefixAllowed(() => [1, 2])([{ scores, view }])],
    "chain rep1.2,temp0.7,top_k6,top_p0.9": [p.repetitionPenalty(1.2), p.temperature(0.7), p.topK(6), p.topP(0.9)],
  };

  test("all of them are run", () => expect(Object.keys(cases)).toEqual(Object.keys(golden.cases)));

  test.each(Object.entries(cases))("%s", (name, chain) => {
    const scores = Float32Array.from(golden.logits[0]! as number[]);
    for (const step of chain) step(scores, { ids, promptLength: 5, request: 0 });
    expectScores(scores, golden.cases[name]![0]!, name);
  });
});

test("200 random chains leave what transformers leaves", () => {
  const { cases, vocabulary } = fixture("hf-warpers.json") as {
    cases: readonly { options: Record<string, unknown>; promptIds: readonly number[]; scores: Numbers }[];
    vocabulary: number;
  };
  for (const { options: given, promptIds, scores } of cases) {
    const options: GenerateOptions = Object.fromEntries(
      Object.entries(given).map(([key, value]) => [camel(key), value]),
    );
    const logits = Float32Array.from({ length: vocabulary }, (_, token) => hashScore(promptIds, token));
    expectScores(
      transformScores(logits, [], { ...options, doSample: true, promptIds: [promptIds] }),
      scores,
      JSON.stringify(given),
    );
  }
});

describe("beyond the golden vectors", () => {
  const view = { ids: [5], promptLength: 1, request: 0 };
  const after = (scores: readonly number[], change: (scores: Float32Array, v: typeof view) => void): number[] => {
    const array = Float32Array.from(scores);
    change(array, view);
    return Array.from(array);
  };

  test("removeInvalid makes every score finite", () => {
    const most = Math.fround(3.4028234663852886e38);
    expect(after([Number.NaN, Infinity, -Infinity, 2], p.removeInvalid)).toEqual([0, most, -most, 2]);
  });
  test("beginSuppress removes only at the first position", () => {
    expect(after([1, 2], p.beginSuppress([1]))).toEqual([1, -Infinity]);
    const scores = Float32Array.from([1, 2]);
    p.beginSuppress([1])(scores, { ...view, ids: [5, 6] });
    expect(Array.from(scores)).toEqual([1, 2]);
  });
  test("an end of sequence that was removed is not raised again", () => {
    expect(after([-Infinity, 2], (scores) => p.exponentialDecay(0, 2, [0])(scores, { ...view, ids: [5, 6] }))).toEqual([
      -Infinity,
      2,
    ]);
  });
  test("when every allowed token was removed before, prefixAllowed lets them in again", () => {
    const scores = Float32Array.from([-Infinity, 2]);
    p.prefixAllowed(() => [0])([{ scores, view }]);
    expect(Array.from(scores)).toEqual([0, -Infinity]);
  });
  test("prefixAllowed refuses an empty list and ids outside the vocabulary", () => {
    const scores = Float32Array.from([1, 2]);
    expect(() => p.prefixAllowed(() => [])([{ scores, view }])).toThrow(
      /generation\/option: prefixAllowedTokensFn gave no token/,
    );
    expect(() => p.prefixAllowed(() => [2])([{ scores, view }])).toThrow(
      /gave 2; a token id is an integer from 0 to below 2/,
    );
  });
  test("ids of the prompt beyond the vocabulary, such as the image token, are passed over", () => {
    expect(after([1, 2], (scores) => p.repetitionPenalty(2)(scores, { ...view, ids: [9, 1] }))).toEqual([1, 1]);
    expect(after([1, 2], (scores) => p.noRepeatNgram(1)(scores, { ...view, ids: [9, 1] }))).toEqual([1, -Infinity]);
  });
  test("of equal scores at the border of topP the higher ids stay", () => {
    expect(after([1, 1, 1, 1], p.topP(0.5))).toEqual([-Infinity, -Infinity, 1, 1]);
  });
});
