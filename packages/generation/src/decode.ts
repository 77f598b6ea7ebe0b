import { bindPlan } from "./bind-plan.ts";
import type { TokenSet } from "./constraint.ts";
import { checkLogits, checkTokenIds, rowOf } from "./check-source.ts";
import { type Choose, createChoose, record } from "./choose.ts";
import type { StreamEvent } from "./events.ts";
import { createFeed, type Fed, type Feed } from "./feed.ts";
import { lookup } from "./lookup.ts";
import type { BoundPlan, Plan } from "./plan.ts";
import { answerLength, append, type Choice, createRows, type Row } from "./row.ts";
import type { LogitsSource } from "./source.ts";
import { transformsOf } from "./transforms.ts";

/** What decoding cost: runs of the model after the prompt, and how many looked-up tokens were proposed and accepted. */
export interface DecodingCost {
  readonly runs: number;
  readonly proposed: number;
  readonly accepted: number;
}

/** Of more tokens than these, scores are not asked for one by one. */
const FEW_TOKENS = 2 ** 13;

interface Decoding {
  readonly plan: BoundPlan;
  readonly choose: Choose;
  /** True when the constraint alone decides what may follow, so that a forced token needs no scores. */
  readonly forces: boolean;
  /** True when scores of allowed tokens alone are enough, and the source has them. */
  readonly asksSome: boolean;
  readonly feed: Feed;
  readonly now: () => number;
  readonly events: StreamEvent[];
}

/** Chooses tokens until every row has ended, greedily or by sampling. The model runs only when the next event is asked. */
export async function* decode(source: LogitsSource, plan: Plan): AsyncGenerator<StreamEvent, DecodingCost> {
  const { signal } = plan.options;
  const started = plan.clock();
  signal?.throwIfAborted();
  const first = checkLogits(await source.logits());
  const bound = bindPlan(plan, first.rows);
  checkTokenIds(bound, first.vocabulary);
  const transforms = transformsOf(bound);
  const rows = createRows(bound);
  const forces = transforms.before.length === 0;
  const d: Decoding = {
    plan: bound,
    choose: createChoose(bound, transforms, first.vocabulary),
    forces,
    asksSome: forces && !bound.scores && source.logitsOf !== undefined,
    feed: createFeed(source, rows, bound),
    now: () => plan.clock() - started,
    events: [],
  };

  let proposed = 0;
  let accepted = 0;
  for (const row of rows) {
    appendCertain(d, row);
    if (answerLength(row) === 0) chooseNext(d, row, rowOf(first, row.slot));
  }
  for (;;) {
    yield* d.events.splice(0);
    const live = rows.filter((row) => row.stopped === undefined);
    if (live.length === 0) return { runs: d.feed.runs, proposed, accepted };
    signal?.throwIfAborted();

    const before = d.feed.taken;
    const guessed = live.map((row) => guessesFor(d, row));
    const known = live.map((row) => answerLength(row) + row.certain.length - before);
    const fed = await d.feed.step(
      live,
      live.map((row, i) => (row.certain.length > 0 ? row.certain : guessed[i]!)),
      tokensAfter(d, live),
    );
    const right = live.map((row, i) => verify(d, row, before, fed.runs[i]!, fed));
    live.forEach((_, i) => {
      proposed += Math.max(0, fed.runs[i]!.length - known[i]!);
      accepted += Math.max(0, right[i]! - known[i]!);
    });
    const running = right.filter((_, i) => live[i]!.stopped === undefined);
    if (running.length > 0) await d.feed.keep(Math.min(...running));
  }
}

/** All tokens that constraints allow after what is known of these rows, ascending; undefined where others are looked at as well, or many. */
function tokensAfter({ plan, asksSome }: Decoding, live: readonly Row[]): Int32Array | undefined {
  if (!asksSome) return undefined;
  const sets: TokenSet[] = [];
  let size = 0;
  for (const { state, view } of live) {
    const set = plan.constraints[view.request]?.allowed(state);
    size += set?.size ?? Infinity;
    if (set === undefined || size > FEW_TOKENS) return undefined;
    sets.push(set);
  }
  if (size === 0) return undefined;
  return sets.length === 1 ? sets[0]!.ids : Int32Array.from(new Set(sets.flatMap(({ ids }) => [...ids]))).sort();
}

/** Looked-up tokens that may follow a row, where they can be tried: fewer than the row may still have. */
function guessesFor(d: Decoding, row: Row): readonly number[] {
  const plan = d.plan.lookup;
  if (plan === undefined || !d.feed.canGuess || row.certain.length > 0) return [];
  const left = d.plan.limits[row.view.request]! - answerLength(row);
  return lookup(row.view.ids, Math.min(plan.tokens, left - 1), plan);
}

/** Chooses after each fed token of a row, as long as the choices are what was fed; returns how many fed tokens were right. */
function verify(d: Decoding, row: Row, before: number, run: readonly number[], fed: Fed): number {
  const start = row.view.promptLength + before;
  for (let position = 0; position < run.length; position++) {
    if (row.view.ids[start + position] !== run[position]) return position;
    if (row.view.ids.length === start + position + 1) chooseNext(d, row, fed.logits(row, position), fed.tokens);
    if (row.stopped !== undefined) return position + 1;
  }
  return run.length;
}

/** Chooses one token from raw logits (of `tokens`, or all), or takes the next certain one, and then all that follows without a choice. */
function chooseNext(d: Decoding, row: Row, logits: Float32Array, tokens?: Int32Array): void {
  const certain = row.certain.shift();
  const choice = certain === undefined ? d.choose(row, logits, tokens) : record(d.plan, logits, certain);
  if (choice === undefined) {
    row.stopped = "dead-end";
    d.events.push({ type: "stop", row: row.index, reason: "dead-end", time: d.now() });
    return;
  }
  commit(d, row, choice);
  appendCertain(d, row);
}

/** Appends what must follow. Where scores are wanted it is only noted, and appended when its logits are there. */
function appendCertain(d: Decoding, row: Row): void {
  while (row.stopped === undefined) {
    if (row.certain.length === 0 && d.forces) row.certain.push(...forcedTokens(d, row));
    if (row.certain.length === 0 || d.plan.scores) return;
    commit(d, row, { token: row.certain.shift()! });
  }
}

function forcedTokens(d: Decoding, row: Row): readonly number[] {
  const constraint = d.plan.constraints[row.view.request];
  if (constraint === undefined) return [];
  const run = constraint.forced?.(row.state) ?? [];
  if (run.length > 0) return run;
  const allowed = constraint.allowed(row.state);
  return allowed.size === 1 ? [allowed.ids[0]!] : [];
}

function commit(d: Decoding, row: Row, choice: Choice): void {
  const time = d.now();
  d.events.push({ type: "token", row: row.index, index: answerLength(row), time, ...choice });
  append(row, choice.token, d.plan, time);
  if (row.stopped !== undefined) d.events.push({ type: "stop", row: row.index, reason: row.stopped, time });
}
