import type { Constraint, TokenSet } from "./constraint.ts";
import type { RowView } from "./options.ts";
import type { BoundPlan } from "./plan.ts";

/** Whether an answer can still be completed within its row's limit. */
export interface Reach {
  /** True when it can be after `token`; also when it cannot be at all, so that any token is as good as another. */
  fits(token: number): boolean;
  /** The allowed tokens after which it can be. */
  readonly within: () => TokenSet;
}

/** The reach of a row in a state of its constraint; undefined for constraints that know no distance. */
export function reachOf(
  constraint: Constraint,
  state: unknown,
  allowed: TokenSet,
  view: RowView,
  plan: BoundPlan,
): Reach | undefined {
  if (constraint.distance === undefined) return undefined;
  const distance = (at: unknown): number => constraint.distance!(at);
  const left = plan.limits[view.request]! - (view.ids.length - view.promptLength);
  const lost = distance(state) > left;
  const fits = (token: number): boolean => {
    if (lost || plan.eos.includes(token)) return true;
    const after = constraint.next(state, token);
    return after !== undefined && distance(after) < left;
  };
  return {
    fits,
    within: () => {
      const ids = allowed.ids.filter(fits);
      return { ids, size: ids.length, has: (token) => ids.includes(token) };
    },
  };
}
