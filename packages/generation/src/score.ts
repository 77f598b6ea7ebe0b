import { checkLogits, rowOf } from "./check-source.ts";
import { PaliGemmaError } from "./errors.ts";
import { nearest } from "./nearest.ts";
import { logSumExp } from "./numbers.ts";
import type { LogitsSource } from "./source.ts";

/** How to score. */
export interface ScoreOptions {
  /** Appended to each answer, so that the score is of the answer being all that is said. */
  readonly eosTokenId?: number;
  /** What to rank by: the sum of the tokens' log-probabilities (default), or their mean, which long answers lose less by. */
  readonly by?: "sum" | "mean";
  /** Rows that the source is given at once at most. Default 64. More answers than that need a source that can `fork`. */
  readonly maxRows?: number;
  /** Stops between two steps by throwing the signal's reason. */
  readonly signal?: AbortSignal;
}

/** A scored answer. */
export interface ScoredAnswer {
  /** Its number in the list that was given. */
  readonly answer: number;
  /** Sum of `tokenScores`. */
  readonly score: number;
  /** Log-probability of each token after the ones before it, `eosTokenId` included. */
  readonly tokenScores: readonly number[];
  /** exp of what was ranked by, divided by the sum of it over all answers given: a probability among these. */
  readonly share: number;
}

interface Branch {
  readonly next: Map<number, Branch>;
  /** Answers that end here. */
  readonly ends: number[];
}

const DEFAULT_ROWS = 64;
const NAMES = ["eosTokenId", "by", "maxRows", "signal"] as const satisfies readonly (keyof ScoreOptions)[];

/**
 * How likely each of some answers is after what the source has taken in, for every row of the source, best first.
 * [rows][answers]. The prompt is not run again: answers go along their common beginnings, side by side as rows. A source
 * that can `fork` is left as it was, another is used up.
 */
export async function score(
  source: LogitsSource,
  answers: readonly (readonly number[])[],
  options: ScoreOptions = {},
): Promise<readonly (readonly ScoredAnswer[])[]> {
  const { eosTokenId, by = "sum", maxRows = DEFAULT_ROWS, signal } = options;
  checkNames(options, by);
  const whole = answers.map((answer) => (eosTokenId === undefined ? [...answer] : [...answer, eosTokenId]));
  if (whole.length === 0 || whole.some((answer) => answer.length === 0)) {
    throw new PaliGemmaError(
      "generation/option",
      "answers are at least one, each of at least one token (or with eosTokenId)",
    );
  }
  signal?.throwIfAborted();
  const first = checkLogits(await source.logits());
  const size = Math.floor(maxRows / first.rows);
  if (!Number.isInteger(maxRows) || size < 1) {
    throw new PaliGemmaError(
      "generation/option",
      `maxRows is ${maxRows}, but the source has ${first.rows} rows; it is an integer of at least that`,
    );
  }
  if (whole.length > size && source.fork === undefined) {
    throw new PaliGemmaError(
      "generation/source",
      `${whole.length} answers for ${first.rows} rows are more than maxRows ${maxRows}, and the source cannot fork; raise maxRows or score fewer at a time`,
    );
  }
  const scores = Array.from({ length: first.rows }, () => whole.map((): number[] => []));
  for (let from = 0; from < whole.length; from += size) {
    const part = whole.slice(from, from + size);
    const branch = source.fork === undefined ? undefined : await source.fork();
    try {
      await walk(
        branch ?? source,
        part,
        (row, answer, logProbability) => scores[row]![from + answer]!.push(logProbability),
        signal,
      );
    } finally {
      await branch?.dispose?.();
    }
  }
  return scores.map((row) => ranked(row, by));
}

function checkNames(options: ScoreOptions, by: string): void {
  const unknown = Object.keys(options).find((key) => !(NAMES as readonly string[]).includes(key));
  if (unknown !== undefined) {
    const meant = nearest(unknown, NAMES);
    throw new PaliGemmaError(
      "generation/option",
      `${unknown} is not an option of score${meant === undefined ? "" : `; did you mean ${meant}?`}`,
    );
  }
  if (by !== "sum" && by !== "mean")
    throw new PaliGemmaError("generation/option", `by is ${JSON.stringify(by)}, allowed is "sum" or "mean"`);
}

/** Goes down the tree of all answers, one token of each branch per run; a token after which nothing follows is not fed. */
async function walk(
  source: LogitsSource,
  answers: readonly (readonly number[])[],
  tell: (row: number, answer: number, logProbability: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  let logits = checkLogits(await source.logits());
  let places = Array.from({ length: logits.rows }, (_, row) => ({ row, branch: treeOf(answers), slot: row }));
  for (;;) {
    const following: { row: number; branch: Branch; slot: number; token: number }[] = [];
    for (const { row, branch, slot } of places) {
      const raw = rowOf(logits, slot);
      const total = logSumExp(raw);
      if (Number.isNaN(total))
        throw new PaliGemmaError(
          "generation/logits",
          "the scores hold a value that is not a number; the model overflowed or read broken weights",
        );
      for (const [token, next] of branch.next) {
        if (token >= raw.length)
          throw new PaliGemmaError(
            "generation/option",
            `an answer has the token ${token}, but the source scores tokens 0 to ${raw.length - 1}`,
          );
        for (const answer of answersIn(next)) tell(row, answer, raw[token]! - total);
        if (next.next.size > 0) following.push({ row, branch: next, slot, token });
      }
    }
    if (following.length === 0) return;
    signal?.throwIfAborted();
    await source.advance(
      following.map(({ token }) => token),
      following.map(({ slot }) => slot),
    );
    logits = checkLogits(await source.logits());
    places = following.map(({ row, branch }, slot) => ({ row, branch, slot }));
  }
}

function treeOf(answers: readonly (readonly number[])[]): Branch {
  const root: Branch = { next: new Map(), ends: [] };
  answers.forEach((answer, i) => {
    let at = root;
    for (const token of answer) {
      let next = at.next.get(token);
      if (next === undefined) at.next.set(token, (next = { next: new Map(), ends: [] }));
      at = next;
    }
    at.ends.push(i);
  });
  return root;
}

function answersIn(branch: Branch): readonly number[] {
  return [...branch.ends, ...[...branch.next.values()].flatMap(answersIn)];
}

function ranked(tokenScores: readonly (readonly number[])[], by: "sum" | "mean"): readonly ScoredAnswer[] {
  const sums = tokenScores.map((row) => row.reduce((sum, one) => sum + one, 0));
  const keys = sums.map((sum, i) => (by === "sum" ? sum : sum / tokenScores[i]!.length));
  const total = logSumExp(Float32Array.from(keys));
  return sums
    .map((sum, answer) => ({
      answer,
      score: sum,
      tokenScores: tokenScores[answer]!,
      share: Math.exp(keys[answer]! - total),
    }))
    .toSorted((a, b) => keys[b.answer]! - keys[a.answer]!);
}
