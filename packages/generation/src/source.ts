/** The scores of the next token: `data` is [rows, vocabulary], row-major, any real numbers (they are not normalised). */
export interface Logits {
  readonly data: Float32Array;
  readonly rows: number;
  readonly vocabulary: number;
}

/**
 * Anything that can score the next token of each of its rows. A fresh source has taken in the prompt of every row and
 * answers `logits()` for the token that follows it. Only `logits` and `advance` are required; each optional member
 * makes something faster or possible, and its absence never changes an answer.
 *
 * The caller of `generate` owns the source and disposes it; generation keeps no reference once it returns or throws.
 */
export interface LogitsSource {
  /**
   * The scores of the token after everything taken in so far. Asked at most once between two `advance`s, and not at all
   * when the next tokens are already known, so a source may compute them lazily. `data` is read, never written, and not
   * touched again after the next `advance`, so a source may reuse the memory.
   */
  logits(): Promise<Logits>;

  /**
   * The scores of these tokens alone, ascending ids: [rows, tokens.length]. Asked in place of `logits` where nothing else may follow,
   * so that a source can leave out most of its output layer. Up to rounding they are those of `logits`.
   */
  logitsOf?(tokens: Int32Array): Promise<Logits>;

  /**
   * Takes in one token per row. With `parents`, new row i continues old row `parents[i]`, and `tokens.length` is the new
   * number of rows: rows may be copied (beams, several answers per prompt), reordered (beams) and left out (finished
   * rows, only if `dropsFinishedRows`). Without `parents` the rows stay as they are. A source that cannot do this throws,
   * and serves neither beams nor `numReturnSequences`.
   */
  advance(tokens: readonly number[], parents?: readonly number[]): Promise<void>;

  /**
   * True when leaving rows out is a gain for the source. Then a finished row is left out of the next `advance`; otherwise
   * it is fed `padTokenId` and its logits are ignored.
   */
  readonly dropsFinishedRows?: boolean;

  /**
   * Chooses the highest-scoring token of each row (the lowest id of equals), takes it in, and repeats, `steps` times or
   * until every row has chosen a token of `stopAt`. Returns the tokens chosen by each row, up to and including the first
   * of `stopAt`. What a row does after that is ignored. Used for plain greedy decoding in place of `logits`. Unless
   * all rows end with these steps, up to `more` are likely to be asked for: a source may begin them at once.
   */
  advanceGreedy?(steps: number, stopAt: readonly number[], more?: number): Promise<readonly (readonly number[])[]>;

  /** The `steps` that `advanceGreedy` is asked for at a time (1 if absent). An abort takes effect between two calls. */
  readonly greedySteps?: number;

  /**
   * Takes in several tokens per row in one run of the model: `runs` is [rows][length], the same length ≥ 1 for all.
   * Returns the scores after the last token of each run ("last", [rows, vocabulary]) or after every token ("every",
   * [rows · length, vocabulary], the position of row r and token p being r · length + p). Used for prefilled and forced
   * tokens, and together with `rollback` for speculation. With `tokens`, which only a source that has `logitsOf` is given: scores of
   * these alone.
   */
  advanceMany?(runs: readonly (readonly number[])[], which: "last" | "every", tokens?: Int32Array): Promise<Logits>;

  /** Forgets the last `count` tokens of every row. `logits` is not asked before the next `advance`. */
  rollback?(count: number): Promise<void>;

  /**
   * A second source in the same state, which goes on independently. The caller disposes it if it has a `dispose`. Used
   * to score more answers than fit one batch.
   */
  fork?(): Promise<LogitsSource & { dispose?(): Promise<void> | void }>;
}
