import type { TokenSet } from "./constraint.ts";
import { PaliGemmaError } from "./errors.ts";
import { argmax, logSumExp } from "./numbers.ts";
import type { BoundPlan } from "./plan.ts";
import { type Reach, reachOf } from "./reach.ts";
import type { Choice, Row } from "./row.ts";
import { type Transforms, transform } from "./transforms.ts";

/** So many tokens are passed over one by one before all tokens are looked at. */
const REJECTIONS = 8;

/** Picks a row's next token from its raw logits, of the whole vocabulary or of `tokens`; undefined when none is left. */
export type Choose = (row: Row, logits: Float32Array, tokens?: Int32Array) => Choice | undefined;

/** A chooser with its own working memory of one vocabulary. */
export function createChoose(plan: BoundPlan, transforms: Transforms, vocabulary: number): Choose {
  const sampling = plan.options.doSample === true;
  const untouched = transforms.before.length === 0 && transforms.after.length === 0;
  const scratch = new Float32Array(vocabulary);

  return (row, logits, tokens) => {
    const pick = (scores: Float32Array): number => (sampling ? draw(scores, row.random()) : best(scores, row));
    const constraint = plan.constraints[row.view.request];
    if (constraint === undefined && untouched) return chosen(plan, logits, pick(logits));

    const pickFrom = (allowed: TokenSet | undefined): number => {
      if (tokens === undefined) scratch.set(logits);
      else {
        scratch.fill(-Infinity);
        tokens.forEach((token, i) => (scratch[token] = logits[i]!));
      }
      transform(transforms, [{ scores: scratch, view: row.view }], [allowed]);
      return pick(scratch);
    };
    /** What leaves too little room to finish is passed over: for the next best, or after a few of them for what fits. */
    const withinReach = (first: number, reach: Reach): number => {
      let token = first;
      for (let i = 0; i < REJECTIONS && token >= 0 && !reach.fits(token); i++) {
        scratch[token] = -Infinity;
        token = pick(scratch);
      }
      return token >= 0 && reach.fits(token) ? token : pickFrom(reach.within());
    };
    const allowed = constraint?.allowed(row.state);
    const token = pickFrom(allowed);
    const reach = constraint && reachOf(constraint, row.state, allowed!, row.view, plan);
    return chosen(plan, logits, reach === undefined || token < 0 ? token : withinReach(token, reach));
  };
}

function chosen(plan: BoundPlan, logits: Float32Array, token: number): Choice | undefined {
  return token < 0 ? undefined : record(plan, logits, token);
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
