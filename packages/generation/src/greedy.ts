import { bindPlan } from "./bind-plan.ts";
import { NEUTRAL } from "./check-options.ts";
import type { DecodingCost } from "./decode.ts";
import { PaliGemmaError } from "./errors.ts";
import type { StreamEvent } from "./events.ts";
import type { GenerateOptions } from "./options.ts";
import type { BoundPlan, Plan } from "./plan.ts";
import { append, answerLength, createRows, type Row } from "./row.ts";
import type { LogitsSource } from "./source.ts";

/** Options that do not change which token is chosen. */
const NOT_CHOOSING: readonly (keyof GenerateOptions)[] = [
  "maxNewTokens",
  "maxLength",
  "eosTokenId",
  "padTokenId",
  "maxTime",
  "signal",
  "promptIds",
  "decode",
  "clock",
  "stopStrings",
  "stoppingCriteria",
];

/** True when the source's own `advanceGreedy` makes the choices that the options ask for. */
export function isPlainGreedy(source: LogitsSource, plan: Plan): boolean {
  const given = Object.entries(plan.options).filter(([key]) => !(NOT_CHOOSING as readonly string[]).includes(key));
  return (
    source.advanceGreedy !== undefined && given.every(([key, value]) => value === undefined || value === NEUTRAL[key])
  );
}

/** True when something else than its tokens and their number may end an answer, and looks after each. */
function isWatched({ stopStrings, options }: Plan): boolean {
  return stopStrings.length > 0 || options.stoppingCriteria !== undefined || options.maxTime !== undefined;
}

/** Tokens that are asked for at once where nobody waits for the first of them: an abort may take effect so many steps late. */
const TOGETHER = 64;

/**
 * Greedy decoding in which the source chooses, several tokens at a time if it likes. `collected`: nobody reads before the end, so
 * that it is asked for many at once unless something else than the tokens themselves may end the answer.
 */
export async function* decodeGreedy(
  source: LogitsSource,
  plan: Plan,
  collected: boolean,
): AsyncGenerator<StreamEvent, DecodingCost> {
  const { signal } = plan.options;
  const started = plan.clock();
  const asked = source.greedySteps ?? 1;
  const together = collected && !isWatched(plan) ? Math.max(asked, TOGETHER) : asked;
  let bound: BoundPlan | undefined;
  let rows: readonly Row[] = [];
  let live: readonly Row[] = [];
  let steps = 1;
  let left = 1;
  do {
    signal?.throwIfAborted();
    const chosen = await source.advanceGreedy!(steps, plan.eos, left - steps);
    if (bound === undefined) {
      bound = bindPlan(plan, chosen.length);
      rows = live = createRows(bound);
    }
    const events: StreamEvent[] = [];
    for (const row of live) take(row, chosen[row.slot], bound, plan.clock() - started, events);
    yield* events;
    live = rows.filter((row) => row.stopped === undefined);
    left = Math.max(...live.map((row) => bound!.limits[row.slot]! - answerLength(row)));
    steps = Math.min(together, left);
  } while (live.length > 0);
  // The first token is in the scores of the prompt.
  return { runs: Math.max(...rows.map(answerLength)) - 1, proposed: 0, accepted: 0 };
}

function take(
  row: Row,
  tokens: readonly number[] | undefined,
  plan: BoundPlan,
  time: number,
  events: StreamEvent[],
): void {
  if (tokens === undefined || tokens.length === 0) {
    throw new PaliGemmaError(
      "generation/source",
      `advanceGreedy gave no token for row ${row.slot}, which has not ended; it gives at least one`,
    );
  }
  for (const token of tokens) {
    events.push({ type: "token", row: row.index, token, index: answerLength(row), time });
    append(row, token, plan, time);
    if (row.stopped === undefined) continue;
    events.push({ type: "stop", row: row.index, reason: row.stopped, time });
    return;
  }
}
