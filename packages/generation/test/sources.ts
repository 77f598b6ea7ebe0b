import { readFileSync } from "node:fs";
import { createRandom, type Logits, type LogitsSource } from "@paligemma/generation";

/** Which optional members a source is to have. */
export interface Abilities {
  readonly many?: boolean;
  readonly rollback?: boolean;
  readonly greedy?: number;
  readonly drops?: boolean;
  readonly fork?: boolean;
  /** Scores of some tokens alone. */
  readonly some?: boolean;
  /** `score` returns memory of which the first so many numbers are the scores. */
  readonly window?: number;
}

/** A source that remembers what each row has taken in and scores it by a function; it also counts what was asked of it. */
export interface TestSource extends LogitsSource {
  readonly rows: readonly (readonly number[])[];
  readonly counts: {
    logits: number;
    advance: number;
    many: number;
    rollback: number;
    tokens: number;
    /** Scores that were handed out for some tokens alone. */
    some: number;
  };
}

/** A source over `score(ids)` → scores of the next token, for rows that begin with `prompts`. */
export function sourceOf(
  prompts: readonly (readonly number[])[],
  vocabulary: number,
  score: (ids: readonly number[]) => ArrayLike<number>,
  can: Abilities = {},
): TestSource {
  let rows = prompts.map((prompt) => [...prompt]);
  const counts = { logits: 0, advance: 0, many: 0, rollback: 0, tokens: 0, some: 0 };
  const logitsOf = (all: readonly (readonly number[])[]): Logits => {
    const data = new Float32Array(all.length * vocabulary);
    all.forEach((ids, i) =>
      data.set(
        can.window === undefined ? Float32Array.from(score(ids)) : (score(ids) as Float32Array).subarray(0, can.window),
        i * vocabulary,
      ),
    );
    return { data, rows: all.length, vocabulary };
  };
  const someOf = (scores: Logits, tokens: Int32Array | undefined): Logits => {
    if (tokens === undefined) return scores;
    if (!can.some || tokens.some((token, i) => i > 0 && token <= tokens[i - 1]!)) throw new Error("bad tokens");
    const picked = Array.from({ length: scores.rows }, (_, row) =>
      Array.from(tokens, (token) => scores.data[row * vocabulary + token]!),
    ).flat();
    counts.some += picked.length;
    return { data: Float32Array.from(picked), rows: scores.rows, vocabulary: tokens.length };
  };
  return {
    get rows() {
      return rows;
    },
    counts,
    ...(can.some ? { logitsOf: (tokens: Int32Array) => Promise.resolve(someOf(logitsOf(rows), tokens)) } : {}),
    logits: () => {
      counts.logits++;
      return Promise.resolve(logitsOf(rows));
    },
    advance: (tokens, parents = tokens.map((_, i) => i)) => {
      counts.advance++;
      counts.tokens += tokens.length;
      if (parents.length !== tokens.length) throw new Error("parents and tokens differ in length");
      rows = tokens.map((token, i) => [...rows[parents[i]!]!, token]);
      return Promise.resolve();
    },
    ...(can.drops ? { dropsFinishedRows: true } : {}),
    ...(can.many
      ? {
          advanceMany: (runs: readonly (readonly number[])[], which: "last" | "every", tokens?: Int32Array) => {
            counts.many++;
            counts.tokens += runs.length * runs[0]!.length;
            if (runs.length !== rows.length || runs.some((run) => run.length !== runs[0]!.length))
              throw new Error("bad runs");
            const seen = runs.flatMap((run, i) => run.map((_, j) => [...rows[i]!, ...run.slice(0, j + 1)]));
            rows = rows.map((row, i) => [...row, ...runs[i]!]);
            return Promise.resolve(someOf(logitsOf(which === "every" ? seen : rows), tokens));
          },
        }
      : {}),
    ...(can.rollback
      ? {
          rollback: (count: number) => {
            counts.rollback++;
            rows = rows.map((row) => row.slice(0, row.length - count));
            return Promise.resolve();
          },
        }
      : {}),
    ...(can.greedy === undefined
      ? {}
      : {
          greedySteps: can.greedy,
          advanceGreedy: (steps: number, stopAt: readonly number[]) => {
            counts.many++;
            const before = rows.map((row) => row.length);
            for (let i = 0; i < steps; i++) rows = rows.map((row) => [...row, bestOf(score(row))]);
            return Promise.resolve(
              rows.map((row, i) => {
                const chosen = row.slice(before[i]);
                const end = chosen.findIndex((token) => stopAt.includes(token));
                return end < 0 ? chosen : chosen.slice(0, end + 1);
              }),
            );
          },
        }),
    ...(can.fork ? { fork: () => Promise.resolve(sourceOf(rows, vocabulary, score, can)) } : {}),
  };
}

function bestOf(scores: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
  return best;
}

/** A score in [−8, 8) that is a hash of the last three ids and the token; the same arithmetic as in the oracle. */
export function hashScore(ids: readonly number[], token: number): number {
  let h = 2166136261;
  for (const value of [...[0, 0, 0, ...ids.slice(-3)].slice(-3), token]) {
    h = Math.imul(h ^ value, 16777619) >>> 0;
    h = (h ^ (h >>> 15)) >>> 0;
  }
  h = Math.imul(h, 2246822519) >>> 0;
  h = (h ^ (h >>> 13)) >>> 0;
  return (h >>> 8) / 2 ** 20 - 8;
}

/** A language model that is a hash of its last three tokens. */
export function hashSource(
  prompts: readonly (readonly number[])[],
  vocabulary: number,
  can: Abilities = {},
): TestSource {
  return sourceOf(
    prompts,
    vocabulary,
    (ids) => Array.from({ length: vocabulary }, (_, token) => hashScore(ids, token)),
    can,
  );
}

/** A source that chooses `answers[row]` token by token, whatever was prompted. */
export function scripted(answers: readonly (readonly number[])[], vocabulary: number, can: Abilities = {}): TestSource {
  return sourceOf(
    answers.map((_, row) => [row]),
    vocabulary,
    ([row, ...ids]) => Array.from({ length: vocabulary }, (_, token) => (token === answers[row!]![ids.length] ? 5 : 0)),
    can,
  );
}

/** A JSON fixture. */
export function fixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`fixtures/${name}`, import.meta.url), "utf8"));
}

/** A snake_case name in camelCase. */
export function camel(name: string): string {
  return name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** Integers from 0 to below what is asked, the same ones for the same seed. */
export function createPick(seed: number): (below: number) => number {
  const random = createRandom(seed);
  return (below) => Math.floor(random() * below);
}
