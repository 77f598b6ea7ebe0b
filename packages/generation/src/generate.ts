import { beamSearch } from "./beam-search.ts";
import { checkOptions } from "./check-options.ts";
import { decode, type DecodingCost } from "./decode.ts";
import type { StreamEvent } from "./events.ts";
import type { GenerateOptions } from "./options.ts";
import { decodeGreedy, isPlainGreedy } from "./greedy.ts";
import { type Plan, planOf } from "./plan.ts";
import type { StopReason } from "./row.ts";
import type { LogitsSource } from "./source.ts";

/** The answers of `generate`: `numReturnSequences` rows per request, in order (best first with beams). */
export interface Generated {
  /** New tokens only, the end-of-sequence token included, no padding. [requests · numReturnSequences][length] */
  readonly sequences: readonly (readonly number[])[];
  /** Why each row ended. */
  readonly stoppedBy: readonly StopReason[];
  /**
   * With beams: Hugging Face's `sequences_scores`, the sum of processed log-probabilities over length^lengthPenalty.
   * Otherwise, with `outputScores`: the sum of `tokenScores`.
   */
  readonly scores?: readonly number[];
  /** With `outputScores`: each token's log-probability under the model's own scores, before transforms and constraint. */
  readonly tokenScores?: readonly (readonly number[])[];
  /** With `outputDistributions`: per token the log-probabilities of the asked range of ids, likewise before all of that. */
  readonly distributions?: readonly (readonly Float32Array[])[];
  /** What it cost. */
  readonly cost: DecodingCost;
}

/**
 * The answers to what the source has taken in, one or more for each of its rows. Rows end independently of each other.
 * Afterwards the source has taken in every token of a row but its last, unless rows were dropped.
 */
export async function generate(source: LogitsSource, options: GenerateOptions = {}): Promise<Generated> {
  checkOptions(options, false);
  const plan = planOf(options);
  if (plan.beams > 1) return beamSearch(source, plan);

  const sequences: number[][] = [];
  const stoppedBy: StopReason[] = [];
  const tokenScores: number[][] = [];
  const distributions: Float32Array[][] = [];
  const events = decoding(source, plan, true);
  for (;;) {
    const { value, done } = await events.next();
    if (done) {
      return {
        sequences,
        stoppedBy,
        ...(options.outputScores
          ? { scores: tokenScores.map((row) => row.reduce((sum, score) => sum + score, 0)), tokenScores }
          : {}),
        ...(options.outputDistributions ? { distributions } : {}),
        cost: value,
      };
    }
    const { row } = value;
    sequences[row] ??= [];
    tokenScores[row] ??= [];
    distributions[row] ??= [];
    if (value.type === "stop") stoppedBy[row] = value.reason;
    else {
      sequences[row].push(value.token);
      if (value.score !== undefined) tokenScores[row].push(value.score);
      if (value.distribution !== undefined) distributions[row].push(value.distribution);
    }
  }
}

/**
 * The same as events, each token as soon as it is certain. The model runs only when the next event is asked for, so a
 * slow reader slows it down. Options are checked at the call; leaving the loop or aborting needs no clean-up.
 */
export function stream(source: LogitsSource, options: GenerateOptions = {}): AsyncGenerator<StreamEvent, DecodingCost> {
  checkOptions(options, true);
  return decoding(source, planOf(options), false);
}

function decoding(source: LogitsSource, plan: Plan, collected: boolean): AsyncGenerator<StreamEvent, DecodingCost> {
  return isPlainGreedy(source, plan) ? decodeGreedy(source, plan, collected) : decode(source, plan);
}

/** Sequences filled up at their ends with `value` to the length of the longest. [rows][longest] */
export function padSequences(sequences: readonly (readonly number[])[], value: number): number[][] {
  const longest = Math.max(0, ...sequences.map((sequence) => sequence.length));
  return sequences.map((sequence) => [...sequence, ...Array.from({ length: longest - sequence.length }, () => value)]);
}
