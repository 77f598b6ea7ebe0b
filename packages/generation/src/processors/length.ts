import type { LogitsProcessor } from "../options.ts";
import { newTokens } from "./sequences.ts";

/** Removes the end-of-sequence tokens while prompt and answer are shorter than `length`. */
export function minLength(length: number, eos: readonly number[]): LogitsProcessor {
  return (scores, view) => {
    if (view.ids.length < length) for (const token of eos) scores[token] = -Infinity;
  };
}

/** Removes the end-of-sequence tokens while the answer is shorter than `length`. */
export function minNewTokens(length: number, eos: readonly number[]): LogitsProcessor {
  return (scores, view) => {
    if (newTokens(view) < length) for (const token of eos) scores[token] = -Infinity;
  };
}

/** Leaves only `tokens`, with score 0, at the last position before the maximum length. */
export function forcedEos(tokens: readonly number[], limit: (request: number) => number): LogitsProcessor {
  return (scores, view) => {
    if (newTokens(view) !== limit(view.request) - 1) return;
    scores.fill(-Infinity);
    for (const token of tokens) scores[token] = 0;
  };
}

/**
 * From `start` new tokens on, raises the end-of-sequence scores by |score| · (factor^k − 1), k counting from there. A token
 * that was removed before stays removed (Hugging Face makes it NaN, and takes it).
 */
export function exponentialDecay(start: number, factor: number, eos: readonly number[]): LogitsProcessor {
  return (scores, view) => {
    const past = newTokens(view) - start;
    if (past <= 0) return;
    for (const token of eos) {
      const score = scores[token]!;
      if (score > -Infinity) scores[token] = score + Math.fround(Math.abs(score) * (factor ** past - 1));
    }
  };
}
