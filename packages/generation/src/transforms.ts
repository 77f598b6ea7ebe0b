import type { TokenSet } from "./constraint.ts";
import type { LogitsProcessor } from "./options.ts";
import type { BoundPlan } from "./plan.ts";
import { keepOnly, prefixAllowed, removeInvalid } from "./processors/allowed.ts";
import { exponentialDecay, forcedEos, minLength, minNewTokens } from "./processors/length.ts";
import { type GroupProcessor, perRow, type ScoreRow } from "./processors/score-row.ts";
import {
  badWords,
  beginSuppress,
  noRepeatNgram,
  repetitionPenalty,
  sequenceBias,
  suppress,
} from "./processors/sequences.ts";
import { epsilonCutoff, etaCutoff, minP, temperature, topH, topK, topP, typicalP } from "./processors/warpers.ts";
import { logSoftmax } from "./numbers.ts";

/** Hugging Face's default of `topK` when sampling. */
const DEFAULT_TOP_K = 50;

/** The score transforms of one `generate`, in Hugging Face's order; a constraint comes between the two parts. */
export interface Transforms {
  readonly before: readonly GroupProcessor[];
  readonly after: readonly LogitsProcessor[];
}

/** The transforms that the options ask for, in Hugging Face's order. */
export function transformsOf(plan: BoundPlan): Transforms {
  const o = plan.options;
  const { eos } = plan;
  const before: GroupProcessor[] = [];
  const each = (change: LogitsProcessor): unknown => before.push(perRow(change));
  if (o.sequenceBias) each(sequenceBias(o.sequenceBias));
  if (o.repetitionPenalty !== undefined && o.repetitionPenalty !== 1) each(repetitionPenalty(o.repetitionPenalty));
  if (o.noRepeatNgramSize) each(noRepeatNgram(o.noRepeatNgramSize));
  if (o.badWordsIds) each(badWords(o.badWordsIds, eos));
  if (o.minLength) each(minLength(o.minLength, eos));
  if (o.minNewTokens) each(minNewTokens(o.minNewTokens, eos));
  if (o.prefixAllowedTokensFn) before.push(prefixAllowed(o.prefixAllowedTokensFn));
  if (o.forcedEosTokenId !== undefined) {
    const tokens = typeof o.forcedEosTokenId === "number" ? [o.forcedEosTokenId] : o.forcedEosTokenId;
    each(forcedEos(tokens, (request) => plan.limits[request]!));
  }
  if (o.removeInvalidValues) each(removeInvalid);
  if (o.exponentialDecayLengthPenalty) each(exponentialDecay(...o.exponentialDecayLengthPenalty, eos));
  if (o.suppressTokens) each(suppress(o.suppressTokens));
  if (o.beginSuppressTokens) each(beginSuppress(o.beginSuppressTokens));
  for (const change of o.logitsProcessor ?? []) each(change);
  return { before, after: [...samplingTransforms(plan), ...(o.renormalizeLogits ? [logSoftmax] : [])] };
}

function samplingTransforms(plan: BoundPlan): readonly LogitsProcessor[] {
  const o = plan.options;
  if (o.doSample !== true) return [];
  // Beams need a token that does not end the answer beside those that do.
  const keep = plan.beams > 1 ? plan.eos.length + 1 : 1;
  const list: LogitsProcessor[] = [];
  if (o.temperature !== undefined && o.temperature !== 1) list.push(temperature(o.temperature));
  if (o.topH !== undefined) list.push(topH(o.topH));
  const k = o.topK ?? DEFAULT_TOP_K;
  if (k !== 0) list.push(topK(k, keep));
  if (o.topP !== undefined && o.topP < 1) list.push(topP(o.topP, keep));
  if (o.minP !== undefined) list.push(minP(o.minP, keep));
  if (o.typicalP !== undefined && o.typicalP < 1) list.push(typicalP(o.typicalP, keep));
  if (o.epsilonCutoff) list.push(epsilonCutoff(o.epsilonCutoff, keep));
  if (o.etaCutoff) list.push(etaCutoff(o.etaCutoff, keep));
  return list;
}

/** Applies all transforms to the rows of one request; `allowed` holds the constraint's tokens of each row, if it has one. */
export function transform(
  transforms: Transforms,
  group: readonly ScoreRow[],
  allowed: readonly (TokenSet | undefined)[],
): void {
  for (const process of transforms.before) process(group);
  group.forEach(({ scores, view }, i) => {
    const tokens = allowed[i];
    if (tokens !== undefined) keepOnly(scores, tokens);
    for (const process of transforms.after) process(scores, view);
  });
}
