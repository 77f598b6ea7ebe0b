import type { BoundPlan } from "./plan.ts";
import { answerLength, type Row } from "./row.ts";

/**
 * Tokens that may follow: what followed the latest earlier occurrence of the row's newest tokens in prompt and answer,
 * the longest run of newest tokens first. Empty when there is none.
 */
export function lookup(row: Row, plan: BoundPlan): readonly number[] {
  const { ids, request } = row.view;
  const most = Math.min(plan.lookup!.tokens, plan.limits[request]! - answerLength(row) - 1);
  if (most < 1) return [];
  for (let size = Math.min(plan.lookup!.longest, ids.length - 1); size >= 1; size--) {
    for (let end = ids.length - 1; end >= size; end--) {
      let same = true;
      for (let i = 1; i <= size && same; i++) same = ids[end - i] === ids[ids.length - i];
      if (same) return ids.slice(end, end + most);
    }
  }
  return [];
}
