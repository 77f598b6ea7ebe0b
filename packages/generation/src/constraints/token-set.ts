import type { TokenSet } from "../constraint.ts";

/** The set of `ids`, which are ascending and do not repeat. */
export function tokenSet(ids: Int32Array): TokenSet {
  return {
    size: ids.length,
    ids,
    has(token: number): boolean {
      let [low, high] = [0, ids.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (ids[middle]! < token) low = middle + 1;
        else high = middle;
      }
      return ids[low] === token;
    },
  };
}
