import type { RowView } from "./options.ts";
import type { BoundPlan } from "./plan.ts";
import { createRandom } from "./random.ts";
import { stopReason } from "./stop.ts";

/**
 * Why a row ended: an end-of-sequence token, the length limit, a stop string, the time limit, a condition of yours, or a
 * dead end: no token was left to choose (which only constraints and bans can bring about), so that the answer is unfinished.
 */
export type StopReason = "eos" | "length" | "stop-string" | "time" | "criterion" | "dead-end";

/** One answer in the making. */
export interface Row {
  /** Its number among the answers. */
  readonly index: number;
  /** Which row of the source holds it. */
  slot: number;
  readonly view: RowView & { readonly ids: number[] };
  /** Tokens that must follow, not chosen yet because their scores are wanted. */
  readonly certain: number[];
  readonly random: () => number;
  /** The constraint's state. */
  state: unknown;
  stopped: StopReason | undefined;
}

/** A chosen token with what was asked to be recorded with it. */
export interface Choice {
  readonly token: number;
  readonly score?: number;
  readonly distribution?: Float32Array;
}

/** The rows of a plan before their first token: `returned` per request, all in the request's slot. */
export function createRows(plan: BoundPlan): Row[] {
  return Array.from({ length: plan.requests * plan.returned }, (_, index) => {
    const request = Math.floor(index / plan.returned);
    const prompt = plan.prompts[request]!;
    return {
      index,
      slot: request,
      view: { ids: [...prompt], promptLength: prompt.length, request },
      certain: [...plan.prefixes[request]!],
      random: createRandom(plan.seeds[request]!, index % plan.returned),
      state: plan.constraints[request]?.start,
      stopped: undefined,
    };
  });
}

/** How many tokens the answer has. */
export function answerLength(row: Row): number {
  return row.view.ids.length - row.view.promptLength;
}

/** Appends a token to its row, moves the constraint on, and says whether the row ends there. */
export function append(row: Row, token: number, plan: BoundPlan, elapsed: number): void {
  row.view.ids.push(token);
  const constraint = plan.constraints[row.view.request];
  if (constraint !== undefined && !plan.eos.includes(token)) {
    row.state = constraint.next(row.state, token);
    if (row.state === undefined) {
      row.stopped = "dead-end";
      return;
    }
  }
  row.stopped = stopReason(row.view, plan, elapsed);
}
