import { readFileSync } from "node:fs";
import { generate, type GenerateOptions, padSequences } from "@paligemma/generation";
import { describe, expect, test } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { camel, fixture, hashSource, sourceOf } from "./sources.ts";

type Arguments = Readonly<Record<string, unknown>>;
interface Case {
  readonly promptIds: readonly (readonly number[])[];
}
interface TinyCase extends Case {
  readonly model: string;
  readonly case: string;
  readonly args: Arguments;
  readonly new_tokens: readonly (readonly number[])[];
  readonly sequences_scores: readonly number[] | null;
}
interface HashCase extends Case {
  readonly options: Arguments;
  readonly sequences: readonly (readonly number[])[];
  readonly scores: readonly number[] | null;
}

const optionsOf = (given: Arguments): GenerateOptions =>
  Object.fromEntries(
    Object.entries(given).map(([key, value]) => [
      camel(key),
      key === "prefix_allowed_tokens_fn" ? (): number[] => [20, 21, 22, 1] : value,
    ]),
  );

/** As Hugging Face fills up short answers: with the pad id 0, but after beams with the first end-of-sequence id. */
const padded = (sequences: readonly (readonly number[])[], options: GenerateOptions): readonly (readonly number[])[] =>
  padSequences(sequences, (options.numBeams ?? 1) > 1 ? 1 : 0);

function expectScores(given: readonly number[] | undefined, wanted: readonly number[] | null): void {
  if (wanted === null) return;
  expect(given).toHaveLength(wanted.length);
  given!.forEach((score, i) =>
    expect(Math.abs(score - wanted[i]!)).toBeLessThanOrEqual(
      TOLERANCES["generation/beam-score"] * Math.max(1, Math.abs(wanted[i]!)),
    ),
  );
}

describe("every gen.* case of hf-tiny, over the logits that transformers saw", () => {
  const { cases, prefixes } = fixture("hf-tiny-cases.json") as {
    cases: readonly TinyCase[];
    prefixes: readonly string[];
  };
  const bytes = readFileSync(new URL("fixtures/hf-tiny-logits.bin", import.meta.url));
  const table = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const rowOf = new Map(prefixes.map((prefix, row) => [prefix, row]));

  test.each(cases)("$model $case", async ({ model, args, promptIds, new_tokens: wanted, sequences_scores: scores }) => {
    const source = sourceOf(promptIds, 300, (ids) => {
      const row = rowOf.get(`${model}:${ids.join(",")}`);
      // A finished row is fed padding; its logits are asked for and ignored.
      return row === undefined ? new Float32Array(300) : table.subarray(row * 300, (row + 1) * 300);
    });
    const options: GenerateOptions = { ...optionsOf(args), eosTokenId: 1, promptIds };
    const result = await generate(source, options);
    expect(padded(result.sequences, options)).toEqual(wanted);
    expectScores(result.scores, scores);
  });
});

test("400 random option sets over a hash model give the ids and beam scores of transformers", async () => {
  const { cases, vocabulary } = fixture("hf-decoding.json") as { cases: readonly HashCase[]; vocabulary: number };
  for (const { options: given, promptIds, sequences, scores } of cases) {
    const options: GenerateOptions = { eosTokenId: 1, ...optionsOf(given), promptIds };
    const result = await generate(hashSource(promptIds, vocabulary), options);
    expect({ given, ids: padded(result.sequences, options) }).toEqual({ given, ids: sequences });
    expectScores(result.scores, scores);
  }
});
