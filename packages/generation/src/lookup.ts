import type { LookupPlan } from "./plan.ts";

/**
 * Tokens that may follow `ids`: what followed the latest earlier occurrence of its newest tokens, the longest run of newest
 * tokens first; at most `most`, and only up to a token that has no key of its own. Empty when there is none.
 */
export function lookup(ids: readonly number[], most: number, { longest, keyOf }: LookupPlan): readonly number[] {
  if (most < 1) return [];
  const keys = ids.map(keyOf);
  const last = keys.length;
  /** Whether a match may begin at a position: not within a run of tokens that share a key. */
  const begins = (at: number): boolean => keys[at] === ids[at] || keys[at - 1] !== keys[at];
  for (let size = Math.min(longest, last - 1); size >= 1; size--) {
    if (!begins(last - size)) continue;
    for (let end = last - 1; end >= size; end--) {
      let same = begins(end - size);
      for (let i = 1; i <= size && same; i++) same = keys[end - i] === keys[last - i];
      if (!same) continue;
      const found = ids.slice(end, end + most);
      const unsure = found.findIndex((token) => keyOf(token) !== token);
      return unsure < 0 ? found : found.slice(0, unsure);
    }
  }
  return [];
}
