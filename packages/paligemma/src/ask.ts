import type { GenerateOptions, StopReason } from "@paligemma/generation";
import type { Example, ImageLike } from "@paligemma/processor";

/** A question: a picture (or several, or none) and a prompt. `Source` is what the model's `decodeImage` reads. */
export type Ask<Source = never> = Omit<Example<Source>, "suffix">;

/** Options that the model fills in itself: what the prompt is, and the tokenizer's part. */
type FilledIn = "promptIds" | "decode" | "padTokenId" | "signal";

/** How to answer: Hugging Face's names in camelCase; `maxNewTokens` is 256 when absent. */
export interface AnswerOptions extends Omit<GenerateOptions, FilledIn | "maxLength"> {
  readonly signal?: AbortSignal;
}

/** How to look for things. */
export interface FindOptions extends AnswerOptions {
  /**
   * Whether the answer can be nothing but objects with the labels asked for, no box twice. Default true. A `constraint` of
   * your own takes its place.
   */
  readonly constrained?: boolean;
  /** Whether each object comes with its `confidence`: the model's own probabilities, which are no calibrated scores. */
  readonly confidences?: boolean;
  /**
   * Whether all labels stand in one prompt. Default: true for `detect`; false for `segment`, which asks for each label in a
   * prompt of its own, as a batch, and joins the answers: models give several objects' masks better so.
   */
  readonly together?: boolean;
}

/** An answer in words, as the model wrote it. */
export interface Answer {
  /** Without `<bos>`, `<eos>` and the like; `<loc…>` and `<seg…>` stay. */
  readonly text: string;
  /** New token ids, `<eos>` included. */
  readonly tokens: readonly number[];
  readonly stoppedBy: StopReason;
  /** With beams or `outputScores`: see `generate` of `@paligemma/generation`. */
  readonly score?: number;
  /** With `outputScores`: log-probability of each token. */
  readonly tokenScores?: readonly number[];
  /** With `outputDistributions`: log-probabilities of its range of ids, per token. */
  readonly distributions?: readonly Float32Array[];
}

/** A piece of an answer being written. */
export interface Piece {
  /** Which ask it belongs to. */
  readonly row: number;
  /** May be empty where a token completes no character. */
  readonly text: string;
  /** Absent for text that was held back until the answer ended: bytes that are no whole character. */
  readonly token: number | undefined;
  /** Milliseconds since decoding began. */
  readonly time: number;
  /** With `outputScores`: log-probability of the token. */
  readonly score?: number;
}

/** A picture: raw pixels, or what the model's `decodeImage` reads (bytes, a path, a Blob). */
export type Picture<Source> = ImageLike | Source;
