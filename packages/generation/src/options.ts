import type { Constraint } from "./constraint.ts";

/** What a score transform or a stop condition may look at. Arrays are the loop's own: read them, keep copies. */
export interface RowView {
  /** Prompt and new tokens so far. */
  readonly ids: readonly number[];
  /** How many of `ids` are the prompt. */
  readonly promptLength: number;
  /** Which row of the source's first `logits()` this continues. */
  readonly request: number;
}

/** Changes `scores` [vocabulary] in place; −Infinity removes a token. */
export type LogitsProcessor = (scores: Float32Array, row: RowView) => void;

/** True when the row is to end after its newest token. */
export type StoppingCriterion = (row: RowView) => boolean;

/**
 * How to choose. Names, ranges, defaults and order are Hugging Face's, in camelCase. What is unknown, out of range,
 * contradictory or without effect is an error `generation/option`; a value equal to its neutral default never is.
 */
export interface GenerateOptions {
  // ── length and end ──
  /** New tokens at most, ≥ 1. Default 20 when `maxLength` is not given either. */
  readonly maxNewTokens?: number;
  /** Prompt and new tokens at most; needs `promptIds`. Not together with `maxNewTokens`. */
  readonly maxLength?: number;
  /** No end-of-sequence token before this many new tokens. */
  readonly minNewTokens?: number;
  /** No end-of-sequence token before this many tokens, prompt included; needs `promptIds`. */
  readonly minLength?: number;
  /** Tokens that end a row; they are kept in its sequence. */
  readonly eosTokenId?: number | readonly number[];
  /** What finished rows are fed where the source keeps them. Default 0. */
  readonly padTokenId?: number;
  /** A row ends when one of these occurs in its text with its last character in the newest token. Needs `decode`. */
  readonly stopStrings?: string | readonly string[];
  /** Text of a list of ids, for `stopStrings`. */
  readonly decode?: (ids: readonly number[]) => string;
  /** Every row ends once this many seconds have passed. */
  readonly maxTime?: number;
  /** More conditions; a row ends when any is true. */
  readonly stoppingCriteria?: readonly StoppingCriterion[];
  /** Stops between two steps by throwing the signal's reason. */
  readonly signal?: AbortSignal;

  // ── what the rows are ──
  /** The prompt of each row, image and pad tokens included, for every option that looks at it. [rows][any] */
  readonly promptIds?: readonly (readonly number[])[];
  /** First tokens of the answer, taken as chosen; one list for all rows or one per row. */
  readonly responsePrefix?: readonly number[] | readonly (readonly number[])[];

  // ── score transforms, in the order they are applied ──
  /** Added to the score of a sequence's last token where the tokens before it match: [ids, bias] pairs. */
  readonly sequenceBias?: readonly (readonly [readonly number[], number])[];
  /** > 0, neutral 1: scores of tokens present in prompt or answer are divided (≥ 0) or multiplied (< 0) by it. */
  readonly repetitionPenalty?: number;
  /** No n-gram of this size occurs twice in prompt and answer; 0 is off. */
  readonly noRepeatNgramSize?: number;
  /** Token sequences that never occur. */
  readonly badWordsIds?: readonly (readonly number[])[];
  /** The tokens allowed next, given the request's number and prompt plus answer so far. */
  readonly prefixAllowedTokensFn?: (request: number, ids: readonly number[]) => readonly number[];
  /** The only tokens allowed at the last position before the maximum length. */
  readonly forcedEosTokenId?: number | readonly number[];
  /** NaN becomes 0 and infinities the largest finite numbers. */
  readonly removeInvalidValues?: boolean;
  /** [start, factor]: from `start` new tokens on, the end-of-sequence score grows by |score| · (factor^k − 1). */
  readonly exponentialDecayLengthPenalty?: readonly [number, number];
  /** Tokens that never occur. */
  readonly suppressTokens?: readonly number[];
  /** Tokens that are not the first of the answer. */
  readonly beginSuppressTokens?: readonly number[];
  /** Your own transforms. */
  readonly logitsProcessor?: readonly LogitsProcessor[];
  /** What the answer may look like: one for all rows or one per request. */
  readonly constraint?: Constraint | readonly (Constraint | undefined)[];

  // ── sampling (each needs `doSample`), in the order they are applied ──
  /** Draw the next token instead of taking the best. Default false. */
  readonly doSample?: boolean;
  /** > 0, neutral 1: scores are divided by it. */
  readonly temperature?: number;
  /** 0 < h ≤ 1: keep the best of 100 tokens while their entropy terms sum to at most h of the entropy. */
  readonly topH?: number;
  /** Keep the k best; 0 is off. Default 50, as in Hugging Face. */
  readonly topK?: number;
  /** 0 ≤ p ≤ 1, neutral 1: keep the best tokens that together reach p. */
  readonly topP?: number;
  /** 0 ≤ p ≤ 1: drop what is less likely than p times the likeliest. */
  readonly minP?: number;
  /** 0 < p ≤ 1, neutral 1: keep the tokens of most typical information that together reach p. */
  readonly typicalP?: number;
  /** 0 ≤ ε < 1, neutral 0: drop what is less likely than ε. */
  readonly epsilonCutoff?: number;
  /** 0 ≤ ε < 1, neutral 0: drop what is less likely than min(ε, √ε · exp(−entropy)). */
  readonly etaCutoff?: number;
  /** The last transform (also without sampling): log-softmax of what is left. */
  readonly renormalizeLogits?: boolean;
  /**
   * Makes sampling repeatable. One number s is short for [s, s + 1, …], one seed per request; sequence k of a request
   * draws from its own stream, so a request in a batch draws what it draws alone with its seed. Absent: from the system.
   */
  readonly seed?: number | readonly number[];

  // ── several answers ──
  /** Answers per request, ≥ 1; more than one needs `doSample` or `numBeams` of at least as many. */
  readonly numReturnSequences?: number;
  /** Beams per request; 1 is no beam search. */
  readonly numBeams?: number;
  /** Beam scores are divided by length^lengthPenalty. Default 1. Needs beams. */
  readonly lengthPenalty?: number;
  /** When beam search stops: false (heuristic, default), true (as soon as all beams have ended) or "never". Needs beams. */
  readonly earlyStopping?: boolean | "never";

  // ── speculation ──
  /** Tokens looked up in prompt and answer and verified in one run; the answer is the same. Greedy only. */
  readonly promptLookupNumTokens?: number;
  /** Longest run of newest tokens that is looked up. Default 2. */
  readonly maxMatchingNgramSize?: number;
  /**
   * Tokens with the same key match in lookup; a token whose key is not itself is never guessed. Location tokens with one key
   * let what followed one box be guessed after the next; a match does not begin within a run of them, so it has to cover all
   * four (`maxMatchingNgramSize`). Default: the token itself.
   */
  readonly promptLookupKey?: (token: number) => number;

  // ── what comes back ──
  /** Also return the log-probability of every token and answer. Costs one pass over the vocabulary per token. */
  readonly outputScores?: boolean;
  /** Also return, per token, the log-probabilities of the ids from `from` to below `to` [to − from]. */
  readonly outputDistributions?: { readonly from: number; readonly to: number };
  /** Milliseconds from any origin, for `maxTime` and event times. Default `performance.now`. */
  readonly clock?: () => number;
}
