import type { RowView } from "./options.ts";
import type { BoundPlan } from "./plan.ts";
import type { StopReason } from "./row.ts";

/** Tokens before the window of a stop string, so that a character split over byte tokens (at most 4) is whole in it. */
const SPARE_TOKENS = 4;

/** Why a row ends with its newest token, or undefined. `elapsed` is in milliseconds. */
export function stopReason(view: RowView, plan: BoundPlan, elapsed: number): StopReason | undefined {
  if (plan.eos.includes(view.ids[view.ids.length - 1]!)) return "eos";
  if (plan.stopStrings.length > 0 && endsWithStopString(view.ids, plan.stopStrings, plan.options.decode!))
    return "stop-string";
  if (plan.options.stoppingCriteria?.some((criterion) => criterion(view))) return "criterion";
  if (view.ids.length - view.promptLength >= plan.limits[view.request]!) return "length";
  if (plan.options.maxTime !== undefined && elapsed >= plan.options.maxTime * 1000) return "time";
  return undefined;
}

/** True when a stop string occurs in the text of `ids` with its last character in the text of the last id. */
export function endsWithStopString(
  ids: readonly number[],
  stops: readonly string[],
  decode: (ids: readonly number[]) => string,
): boolean {
  const longest = Math.max(...stops.map((stop) => stop.length));
  const window = ids.slice(-(longest + 1 + SPARE_TOKENS));
  const before = decode(window.slice(0, -1)).length;
  const text = decode(window);
  return stops.some((stop) => text.indexOf(stop, Math.max(0, before - stop.length + 1)) >= 0);
}
