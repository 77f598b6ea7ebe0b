import type { StopReason } from "./row.ts";

/** A token was chosen for an answer. */
export interface TokenEvent {
  readonly type: "token";
  /** Number of the answer: request · numReturnSequences + sequence. */
  readonly row: number;
  readonly token: number;
  /** Its position in the answer, from 0. */
  readonly index: number;
  /** Milliseconds since decoding began. */
  readonly time: number;
  /** Log-probability under the model's own scores, before every transform and constraint; with `outputScores`. */
  readonly score?: number;
  /** With `outputDistributions`: the log-probabilities of its range of ids. */
  readonly distribution?: Float32Array;
}

/** An answer ended; no token of it follows. */
export interface StopEvent {
  readonly type: "stop";
  readonly row: number;
  readonly reason: StopReason;
  /** Milliseconds since decoding began. */
  readonly time: number;
}

/** What `stream` yields. */
export type StreamEvent = TokenEvent | StopEvent;
