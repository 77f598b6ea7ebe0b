/** A set of token ids. `ids` is ascending. */
export interface TokenSet {
  readonly size: number;
  has(token: number): boolean;
  readonly ids: Int32Array;
}

/**
 * What an answer may look like, as an automaton over tokens. It holds no memory of a request: a state is a value, so one
 * constraint serves many rows, beams and requests at once.
 */
export interface Constraint<State = unknown> {
  /** The state before the first token of the answer. */
  readonly start: State;
  /** The tokens that may follow, the end-of-sequence tokens among them where the answer may end. Empty: a dead end. */
  allowed(state: State): TokenSet;
  /** The state after `token`, or undefined when the token is not allowed there. */
  next(state: State, token: number): State | undefined;
  /** True when the answer may end here. */
  accepting(state: State): boolean;
  /** Tokens that must follow, in order, none of which ends the answer; empty when there is a choice. */
  forced?(state: State): readonly number[];
  /**
   * An upper bound of the tokens that are needed from here to a complete answer, its end-of-sequence token included;
   * Infinity where none can be given.
   */
  distance?(state: State): number;
}
