import type { Constraint, TokenSet } from "./constraint.ts";
import { PaliGemmaError } from "./errors.ts";
import { argmax, logSumExp } from "./numbers.ts";
import type { BoundPlan } from "./plan.ts";
import { answerLength, type Choice, type Row } from "./row.ts";
import { type Transforms, transform } from "./transforms.ts";

/** After so many tokens that leave too little room to finish, all tokens are looked at instead of the next best. */
const REJECTIONS = 8;

/** Picks a row's next token from its raw logits [vocabulary]; undefined when none is left. */
export type Choose = (row: Row, logits: Float32Array) => Choice | undefined;

/** A chooser with its own working memory of one vocabulary. */
export function createChoose(plan: BoundPlan, transforms: Transforms): Choose {
  const sampling = plan.options.doSample === true;
  const untouched = transforms.before.length === 0 && transforms.after.length === 0;
  let scratch = new Float32Array(0);

  return (row, logits) => {
    const pick = (scores: Float32Array): number => (sampling ? draw(scores, row.random()) : best(scores, row));
    const constraint = plan.constraints[row.view.request];
    let token: number;
    if (constraint === undefined && untouched) token = pick(logits);
    else {
      if (scratch.length !== logits.length) scratch = new Float32Array(logits.length);
      scratch.set(logits);
      const allowed = constraint === undefined ? undefined : constraint.allowed(row.state);
      transform(transforms, [{ scores: scratch, view: row.view }], [allowed]);
      token = pick(scratch);
      if (token >= 0 && constraint?.distance !== undefined) {
        token = withinReach(token, scratch, constraint, allowed!, row, plan, pick);
      }
    }
    return token < 0 ? undefined : record(plan, logits, token);
  };
}

/**
 * `token`, or the next choice from which the answer can still be completed within the row's limit. Where not even the
 * shortest completion fits, any token is as good as another.
 */
function withinReach(
  token: number,
  scores: Float32Array,
  constraint: Constraint,
  allowed: TokenSet,
  row: Row,
  plan: BoundPlan,
  pick: (scores: Float32Array) => number,
): number {
  const left = plan.limits[row.view.request]! - answerLength(row);
  const fits = (next: number): boolean => {
    if (plan.eos.includes(next)) return true;
    const state = constraint.next(row.state, next);
    return state !== undefined && constraint.distance!(state) < left;
  };
  if (fits(token) || constraint.distance!(row.state) > left) return token;
  let chosen = token;
  for (let i = 0; i < REJECTIONS && chosen >= 0; i++) {
    scores[chosen] = -Infinity;
    chosen = pick(scores);
    if (chosen >= 0 && fits(chosen)) return chosen;
  }
  for (const id of allowed.ids) if (scores[id]! > -Infinity && !fits(id)) scores[id] = -Infinity;
  return pick(scores);
}

/** The choice of `token` with its log-probability under the raw logits and the range of them that is asked for. */
export function record(plan: BoundPlan, logits: Float32Array, token: number): Choice {
  if (!plan.scores) return { token };
  const total = logSumExp(logits);
  const range = plan.options.outputDistributions;
  const score = logits[token]! - total;
  if (range === undefined) return { token, score };
  return { token, score, distribution: logits.slice(range.from, range.to).map((logit) => logit - total) };
}

function best(scores: Float32Array, row: Row): number {
  const token = argmax(scores);
  if (token === -2) throw notANumber(row.view.request);
  return token;
}

/** The first id whose cumulative probability exceeds `at` of the whole, in ascending order of ids; −1 if none is left. */
function draw(scores: Float32Array, at: number): number {
  const total = logSumExp(scores);
  if (total === -Infinity) return -1;
  if (!Number.isFinite(total)) throw notANumber(undefined);
  let sum = 0;
  let last = -1;
  for (let i = 0; i < scores.length; i++) {
    const probability = Math.exp(scores[i]! - total);
    if (probability === 0) continue;
    sum += probability;
    last = i;
    if (sum > at) break;
  }
  return last;
}

function notANumber(request: number | undefined): PaliGemmaError {
  return new PaliGemmaError(
    "generation/logits",
    `the scores${request === undefined ? "" : ` of row ${request}`} hold a value that is not a number or infinite; scores are finite or −Infinity. The model overflowed or read broken weights; removeInvalidValues: true goes on regardless`,
  );
}
