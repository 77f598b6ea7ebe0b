import { PaliGemmaError } from "../errors.ts";
import type { LogitsProcessor } from "../options.ts";
import type { TokenSet } from "../constraint.ts";
import type { GroupProcessor } from "./score-row.ts";

/** The largest finite float32, which `removeInvalid` puts in place of infinity. */
const MOST = Math.fround(3.4028234663852886e38);

/** NaN becomes 0, and infinities become the largest finite numbers. */
export const removeInvalid: LogitsProcessor = (scores) => {
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    if (score !== score) scores[i] = 0;
    else if (score === Infinity) scores[i] = MOST;
    else if (score === -Infinity) scores[i] = -MOST;
  }
};

/**
 * Leaves only the tokens that `allowed` names. When earlier transforms have removed all of them, in every beam of the
 * request, they come back with score 0, so that the choice stays within them.
 */
export function prefixAllowed(allowed: (request: number, ids: readonly number[]) => readonly number[]): GroupProcessor {
  return (group) => {
    const lists = group.map(({ scores, view }) => {
      const tokens = allowed(view.request, view.ids);
      if (tokens.length === 0) {
        throw new PaliGemmaError(
          "generation/option",
          `prefixAllowedTokensFn gave no token for request ${view.request} after ${view.ids.length} ids; at least one is needed (the end-of-sequence token, to end the answer)`,
        );
      }
      for (const token of tokens) {
        if (!Number.isInteger(token) || token < 0 || token >= scores.length) {
          throw new PaliGemmaError(
            "generation/option",
            `prefixAllowedTokensFn gave ${token}; a token id is an integer from 0 to below ${scores.length}`,
          );
        }
      }
      return tokens;
    });
    const lost = group.every(({ scores }, i) => lists[i]!.every((token) => scores[token] === -Infinity));
    group.forEach(({ scores }, i) => {
      const kept = lists[i]!.map((token) => (lost ? 0 : scores[token]!));
      scores.fill(-Infinity);
      lists[i]!.forEach((token, j) => (scores[token] = kept[j]!));
    });
  };
}

/** Leaves only the tokens of `allowed`. */
export function keepOnly(scores: Float32Array, allowed: TokenSet): void {
  const { ids } = allowed;
  let from = 0;
  for (const id of ids) {
    if (id >= scores.length) break;
    if (id > from) scores.fill(-Infinity, from, id);
    from = id + 1;
  }
  scores.fill(-Infinity, from);
}
