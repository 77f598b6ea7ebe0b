import type { RowView } from "./options.ts";
import type { BoundPlan } from "./plan.ts";
import { createRandom } from "./random.ts";
import type { StopReason } from "./row.ts";

/** An answer that is still growing. */
export interface Beam {
  readonly view: RowView & { readonly ids: number[] };
  /** Sum of its processed log-probabilities, in single precision. */
  readonly score: number;
  /** Which row of the source holds what it continues. */
  slot: number;
  /** Constraint state. */
  readonly state: unknown;
  readonly tokenScores: readonly number[];
}

/** A beam and one more token. */
export interface Candidate {
  readonly parent: Beam;
  readonly token: number;
  readonly score: number;
  readonly tokenScore: number;
  readonly stopped: StopReason | undefined;
}

/** An answer that has ended. */
export interface Finished {
  readonly tokens: readonly number[];
  readonly tokenScores: readonly number[];
  /** score / length^lengthPenalty. */
  readonly score: number;
  readonly reason: StopReason;
}

/** The beam search of one request. */
export interface BeamItem {
  readonly request: number;
  beams: readonly Beam[];
  /** The best answers that have ended, best first, at most one per beam. */
  pool: readonly Finished[];
  readonly random: () => number;
}

/** One item per request, each with the one beam that its prompt is. */
export function createItems(plan: BoundPlan): BeamItem[] {
  return plan.prompts.map((prompt, request) => ({
    request,
    beams: [
      {
        view: { ids: [...prompt], promptLength: prompt.length, request },
        score: 0,
        slot: request,
        state: plan.constraints[request]?.start,
        tokenScores: [],
      },
    ],
    pool: [],
    random: createRandom(plan.seeds[request]!),
  }));
}

/**
 * Moves an item on by its candidates, best first (or, when sampling, in the order drawn): the ended ones among the first
 * `beams` join the pool, the best others grow on. `begun` is how many tokens of the answer were given, not chosen.
 */
export function settle(item: BeamItem, candidates: readonly Candidate[], plan: BoundPlan, begun: number): void {
  const { view } = item.beams[0]!;
  const length = view.ids.length + 1 - view.promptLength - begun;
  const penalty = Math.fround(length ** plan.lengthPenalty);
  const ended = candidates.slice(0, plan.beams).flatMap((candidate) => {
    const { parent, token, stopped, tokenScore } = candidate;
    if (stopped === undefined) return [];
    const tokens = [...parent.view.ids.slice(parent.view.promptLength), token];
    const tokenScores = [...parent.tokenScores, tokenScore];
    return [{ tokens, tokenScores, score: Math.fround(candidate.score / penalty), reason: stopped }];
  });
  item.pool = [...item.pool, ...ended].toSorted((a, b) => b.score - a.score).slice(0, plan.beams);

  const constraint = plan.constraints[item.request];
  const growing = candidates
    .filter((candidate) => candidate.stopped === undefined)
    .toSorted((a, b) => b.score - a.score);
  item.beams = growing.slice(0, plan.beams).map(({ parent, token, score, tokenScore }) => ({
    view: { ...parent.view, ids: [...parent.view.ids, token] },
    score,
    slot: parent.slot,
    state: constraint?.next(parent.state, token),
    tokenScores: plan.options.outputScores ? [...parent.tokenScores, tokenScore] : parent.tokenScores,
  }));
  if (!canImprove(item, plan, length, plan.limits[item.request]! - begun)) item.beams = [];
}

/** False when nothing that the beams may grow into can enter the pool; with `earlyStopping: true`, once the pool is full. */
function canImprove(item: BeamItem, plan: BoundPlan, length: number, limit: number): boolean {
  const best = item.beams[0];
  if (best === undefined) return false;
  if (item.pool.length < plan.beams) return true;
  if (plan.earlyStopping === true) return false;
  const hoped = plan.earlyStopping === "never" && plan.lengthPenalty > 0 ? limit : length;
  return Math.fround(best.score / Math.fround(hoped ** plan.lengthPenalty)) > item.pool[item.pool.length - 1]!.score;
}
