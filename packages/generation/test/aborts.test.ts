import { getEventListeners } from "node:events";
import {
  generate,
  score,
  stream,
  type StreamEvent,
  textPieces,
  type GenerateOptions,
  type LogitsSource,
} from "@paligemma/generation";
import { describe, expect, test } from "vitest";
import { createPick, hashSource } from "./sources.ts";

const ROUNDS = 1000;
const REASON = new Error("enough");
const WAYS: readonly GenerateOptions[] = [
  {},
  { outputScores: true },
  { doSample: true, seed: 1, numReturnSequences: 2 },
  { promptLookupNumTokens: 3, promptIds: [[1, 2, 1], [2]] },
  { numBeams: 3 },
];

/** A source that counts its forks which are not disposed, and calls `tell` whenever it is asked for something. */
function watched(tell: () => void): { readonly source: LogitsSource; readonly forks: () => number } {
  let forks = 0;
  const wrap = (inner: LogitsSource): LogitsSource => ({
    dropsFinishedRows: true,
    logits() {
      tell();
      return inner.logits();
    },
    advance(tokens, parents) {
      tell();
      return inner.advance(tokens, parents);
    },
    advanceMany(runs, which) {
      tell();
      return inner.advanceMany!(runs, which);
    },
    rollback: (count) => inner.rollback!(count),
    async fork() {
      const twin = wrap(await inner.fork!());
      forks++;
      return { ...twin, dispose: () => void forks-- };
    },
  });
  return {
    source: wrap(hashSource([[1, 2, 1], [2]], 16, { many: true, rollback: true, fork: true, drops: true })),
    forks: () => forks,
  };
}

describe(`${ROUNDS} answers of scripted sources that are cut off at random places`, () => {
  const lasting = new AbortController();

  test.each([
    ["aborted", "abort"],
    ["left by return()", "return"],
    ["left by throw()", "throw"],
    ["scored", "score"],
  ] as const)("%s leave no listener and no fork, and ask the source for nothing more", async (_name, how) => {
    const pick = createPick(5);
    let cut = 0;
    for (let i = 0; i < ROUNDS / 4; i++) {
      const own = new AbortController();
      const { signal } = how === "abort" || how === "score" ? own : lasting;
      let left = pick(10);
      if (left === 0 && signal === own.signal) own.abort(REASON);
      let asked = 0;
      const { source, forks } = watched(() => {
        asked++;
        if (--left === 0 && signal === own.signal) own.abort(REASON);
      });
      const options = { maxNewTokens: 12, eosTokenId: 3, signal, ...WAYS[i % WAYS.length]! };
      const streamed = { ...options, numBeams: 1 };
      let error: unknown;
      try {
        if (how === "score") {
          const answers = Array.from({ length: 6 }, (_, n) => [n, n + 1, n + 2, n + 3]);
          await score(source, answers, { signal, maxRows: 4 });
        } else if (how === "abort") {
          if (pick(2) === 0 || options.numBeams !== undefined) await generate(source, options);
          else for await (const _ of textPieces(stream(source, streamed), String));
        } else {
          const events: AsyncIterator<StreamEvent, unknown> = stream(source, streamed)[Symbol.asyncIterator]();
          for (let n = pick(14); n > 0; n--) await events.next();
          asked = 0;
          if (how === "return") await events.return!();
          else await events.throw!(REASON);
        }
      } catch (reason) {
        error = reason;
      }
      if (error !== undefined) expect(error).toBe(REASON);
      const leaving = how === "return" || how === "throw";
      if (leaving || error !== undefined) cut++;
      if (leaving) expect(asked).toBe(0);
      expect(getEventListeners(signal, "abort")).toEqual([]);
      expect(forks()).toBe(0);
      const before = asked;
      await new Promise((resolve) => setImmediate(resolve));
      expect(asked).toBe(before);
    }
    expect(cut).toBeGreaterThan(ROUNDS / 8);
  });
});
