import { type Beam, type BeamItem, type Candidate, createItems, settle } from "./beam.ts";
import { bindPlan } from "./bind-plan.ts";
import { checkLogits, checkTokenIds, rowOf } from "./check-source.ts";
import type { TokenSet } from "./constraint.ts";
import { PaliGemmaError } from "./errors.ts";
import { feedTokens } from "./feed-tokens.ts";
import type { Generated } from "./generate.ts";
import { logSumExp, topIndices } from "./numbers.ts";
import type { BoundPlan, Plan } from "./plan.ts";
import { reachOf } from "./reach.ts";
import type { Logits, LogitsSource } from "./source.ts";
import { stopReason } from "./stop.ts";
import { type Transforms, transform, transformsOf } from "./transforms.ts";

/** Beam search as in Hugging Face's `_beam_search`; every request stops as soon as it would alone. */
export async function beamSearch(source: LogitsSource, plan: Plan): Promise<Generated> {
  const started = plan.clock();
  plan.options.signal?.throwIfAborted();
  let logits = checkLogits(await source.logits());
  const bound = bindPlan(plan, logits.rows);
  checkTokenIds(bound, logits.vocabulary);
  const transforms = transformsOf(bound);
  const items = createItems(bound);
  const begun = await begin(source, items, bound);
  if (begun > 0) logits = checkLogits(await source.logits());

  for (let runs = 0; ; runs++) {
    for (const item of items) {
      if (item.beams.length > 0)
        settle(item, candidatesOf(item, logits, bound, transforms, plan.clock() - started), bound, begun);
    }
    const beams = items.flatMap((item) => item.beams);
    if (beams.length === 0) return resultOf(items, bound, runs);
    plan.options.signal?.throwIfAborted();
    await source.advance(
      beams.map(({ view }) => view.ids[view.ids.length - 1]!),
      beams.map(({ slot }) => slot),
    );
    beams.forEach((beam, slot) => (beam.slot = slot));
    logits = checkLogits(await source.logits());
    if (logits.rows !== beams.length) {
      throw new PaliGemmaError(
        "generation/source",
        `the source gave ${logits.rows} rows of scores for ${beams.length} beams; advance gives as many rows as it is given tokens`,
      );
    }
  }
}

/** Takes in the response prefix; returns how many tokens it has. Its tokens belong to the answer, but not to its score. */
async function begin(source: LogitsSource, items: readonly BeamItem[], plan: BoundPlan): Promise<number> {
  const lengths = new Set(plan.prefixes.map((prefix) => prefix.length));
  if (lengths.size > 1) {
    throw new PaliGemmaError(
      "generation/option",
      `responsePrefix has lists of ${[...lengths].join(" and ")} tokens; with numBeams all must have one length`,
    );
  }
  const [length = 0] = lengths;
  if (length > 0) await feedTokens(source, plan.prefixes);
  for (const item of items) {
    const constraint = plan.constraints[item.request];
    item.beams = item.beams.map((beam) => {
      let { state } = beam;
      for (const token of plan.prefixes[item.request]!) {
        beam.view.ids.push(token);
        state = constraint?.next(state, token);
      }
      return { ...beam, state };
    });
  }
  return length;
}

/** The best continuations of an item's beams (or those drawn): enough that `numBeams` of them do not end the answer. */
function candidatesOf(
  item: BeamItem,
  logits: Logits,
  plan: BoundPlan,
  transforms: Transforms,
  elapsed: number,
): readonly Candidate[] {
  const { vocabulary } = logits;
  const { beams } = item;
  const constraint = plan.constraints[item.request];
  const totals = beams.map((beam) => logSumExp(rowOf(logits, beam.slot)));
  if (totals.some(Number.isNaN)) {
    throw new PaliGemmaError(
      "generation/logits",
      "the scores hold a value that is not a number; the model overflowed or read broken weights",
    );
  }
  const scores = new Float32Array(beams.length * vocabulary);
  const wanted = Math.max(2, 1 + plan.eos.length) * plan.beams;
  const best = (allowed: readonly (TokenSet | undefined)[]): readonly number[] => {
    const group = beams.map((beam, i) => {
      const row = scores.subarray(i * vocabulary, (i + 1) * vocabulary);
      const raw = rowOf(logits, beam.slot);
      for (let token = 0; token < vocabulary; token++) row[token] = raw[token]! - totals[i]!;
      return { scores: row, view: beam.view };
    });
    transform(transforms, group, allowed);
    beams.forEach((beam, i) => {
      const row = group[i]!.scores;
      for (let token = 0; token < vocabulary; token++) row[token] = row[token]! + beam.score;
    });
    const keys = plan.options.doSample === true ? drawKeys(scores, item.random) : scores;
    return [...topIndices(keys, wanted)].filter((index) => keys[index]! > -Infinity);
  };

  const allowed = beams.map((beam) => constraint?.allowed(beam.state));
  let indices = best(allowed);
  if (constraint?.distance !== undefined) {
    const reaches = beams.map((beam, i) => reachOf(constraint, beam.state, allowed[i]!, beam.view, plan)!);
    const fits = (index: number): boolean => reaches[Math.floor(index / vocabulary)]!.fits(index % vocabulary);
    if (!indices.every(fits)) indices = best(reaches.map((reach) => reach.within()));
  }
  return indices.map((index) => {
    const beam = Math.floor(index / vocabulary);
    const token = index % vocabulary;
    const parent = beams[beam]!;
    const tokenScore = rowOf(logits, parent.slot)[token]! - totals[beam]!;
    return { parent, token, score: scores[index]!, tokenScore, stopped: reasonOf(parent, token, plan, elapsed) };
  });
}

/** Scores with Gumbel noise: their highest are a draw without replacement from softmax(scores), in the order drawn. */
function drawKeys(scores: Float32Array, random: () => number): Float32Array {
  const keys = new Float32Array(scores.length);
  for (let i = 0; i < scores.length; i++) {
    keys[i] = scores[i] === -Infinity ? -Infinity : scores[i]! - Math.log(-Math.log(random() || Number.MIN_VALUE));
  }
  return keys;
}

function reasonOf(parent: Beam, token: number, plan: BoundPlan, elapsed: number): Candidate["stopped"] {
  const { ids } = parent.view;
  ids.push(token);
  const reason = stopReason(parent.view, plan, elapsed);
  ids.pop();
  return reason;
}

/** The best answers of every request; where fewer than asked could be completed, empty ones that say "dead-end". */
function resultOf(items: readonly BeamItem[], plan: BoundPlan, runs: number): Generated {
  const none = { tokens: [], tokenScores: [], score: -Infinity, reason: "dead-end" as const };
  const best = items.flatMap((item) => Array.from({ length: plan.returned }, (_, i) => item.pool[i] ?? none));
  return {
    sequences: best.map(({ tokens }) => tokens),
    stoppedBy: best.map(({ reason }) => reason),
    scores: best.map(({ score }) => score),
    ...(plan.options.outputScores ? { tokenScores: best.map(({ tokenScores }) => tokenScores) } : {}),
    cost: { runs, proposed: 0, accepted: 0 },
  };
}
