import { PaliGemmaError, type NdArray } from "@paligemma/core";
import { formatShape } from "@paligemma/graph";

/** Labels that are not counted. */
export const IGNORE_INDEX = -100;

/** A place whose next token is taught: the logits of `row` (of [batch · tokens]) predict `label`. */
export interface Target {
  readonly row: number;
  readonly label: number;
}

/**
 * What labels [batch, tokens] ask to be learned: position i predicts the label of i + 1. Throws `paligemma/labels` where
 * nothing is asked, which would make the mean a silent NaN.
 */
export function targetsOf(labels: NdArray<"int64">, inputIds: NdArray<"int64">, vocabulary: number): readonly Target[] {
  if (labels.shape.join() !== inputIds.shape.join()) {
    throw new PaliGemmaError(
      "paligemma/labels",
      `labels are ${formatShape(labels.shape)}, inputIds are ${formatShape(inputIds.shape)}; they must be alike`,
    );
  }
  const tokens = labels.shape[1]!;
  const targets: Target[] = [];
  labels.data.forEach((value, i) => {
    const label = Number(value);
    if (i % tokens === 0 || label === IGNORE_INDEX) return;
    if (label < 0 || label >= vocabulary) {
      throw new PaliGemmaError(
        "paligemma/labels",
        `label ${label} at row ${Math.floor(i / tokens)}, position ${i % tokens} is no token of the vocabulary of ${vocabulary}; use ${IGNORE_INDEX} for what is not taught`,
      );
    }
    targets.push({ row: i - 1, label });
  });
  if (targets.length === 0) {
    throw new PaliGemmaError(
      "paligemma/labels",
      `every label is ${IGNORE_INDEX}, so there is nothing to learn and no loss. Give the processor a suffix for each example`,
    );
  }
  return targets;
}

/** Mean cross-entropy in nats of `targets`, whose logits stand in `logits` [asked, vocabulary] at `place(row)`. */
export function crossEntropy(
  logits: NdArray<"float32">,
  targets: readonly Target[],
  place: (row: number) => number,
): number {
  const vocabulary = logits.shape[1]!;
  let sum = 0;
  for (const { row, label } of targets) {
    const at = place(row) * vocabulary;
    const scores = logits.data.subarray(at, at + vocabulary);
    let max = Number.NEGATIVE_INFINITY;
    for (const score of scores) if (score > max) max = score;
    let total = 0;
    for (const score of scores) total += Math.exp(score - max);
    sum += Math.log(total) + max - scores[label]!;
  }
  return sum / targets.length;
}
