import { PaliGemmaError } from "./errors.ts";
import type { BoundPlan } from "./plan.ts";
import type { Logits } from "./source.ts";

/** The logits, after checking that their data has the size that they say. */
export function checkLogits(logits: Logits): Logits {
  const { data, rows, vocabulary } = logits;
  if (
    !Number.isInteger(rows) ||
    rows < 1 ||
    !Number.isInteger(vocabulary) ||
    vocabulary < 1 ||
    data.length !== rows * vocabulary
  ) {
    throw new PaliGemmaError(
      "generation/source",
      `the source gave ${data.length} scores for [${rows}, ${vocabulary}]; they must be rows · vocabulary, each at least 1`,
    );
  }
  return logits;
}

/** One row of logits [vocabulary], a view. */
export function rowOf(logits: Logits, row: number): Float32Array {
  return logits.data.subarray(row * logits.vocabulary, (row + 1) * logits.vocabulary);
}

/** Throws when an option names a token that the vocabulary does not have. */
export function checkTokenIds(plan: BoundPlan, vocabulary: number): void {
  const o = plan.options;
  const named: Readonly<Record<string, readonly number[]>> = {
    eosTokenId: plan.eos,
    padTokenId: [plan.pad],
    sequenceBias: o.sequenceBias?.flatMap(([ids]) => ids) ?? [],
    badWordsIds: o.badWordsIds?.flat() ?? [],
    forcedEosTokenId: [o.forcedEosTokenId ?? []].flat(),
    suppressTokens: o.suppressTokens ?? [],
    beginSuppressTokens: o.beginSuppressTokens ?? [],
    responsePrefix: plan.prefixes.flat(),
    outputDistributions: o.outputDistributions === undefined ? [] : [o.outputDistributions.to - 1],
  };
  for (const [name, ids] of Object.entries(named)) {
    const outside = ids.filter((id) => id >= vocabulary);
    if (outside.length > 0) {
      throw new PaliGemmaError(
        "generation/option",
        `${name} names token ${outside[0]}, but the source scores tokens 0 to ${vocabulary - 1}`,
      );
    }
  }
}
