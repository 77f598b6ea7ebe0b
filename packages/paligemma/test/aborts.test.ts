import { fileURLToPath } from "node:url";
import { createNodeBackend, type NodeBackend } from "@paligemma/backend-node";
import { createRandom } from "@paligemma/generation";
import { folder } from "@paligemma/tiny-shapes";
import type { AnswerOptions, Ask, PaliGemma } from "paligemma";
import { loadPaliGemma } from "paligemma/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tellingBackend } from "./telling-backend.ts";
import { countListeners, memory, watchWorkers } from "./watch.ts";

// PALIGEMMA_ABORTS=1000 is the long form; docs/performance.md has its result.
const ROUNDS = Number(process.env["PALIGEMMA_ABORTS"] ?? 60);
const SEED = 7;
/** Bytes that a thousand rounds may leave: caches of compiled code settle late, pictures and caches of a model are far larger. */
const LEFT_OVER = 6 * 2 ** 20;

const random = createRandom(SEED);
const pick = (below: number): number => Math.floor(random() * below);
const REASON = new Error("enough");

const WAYS: readonly { readonly name: string; readonly prompt: string; readonly options: AnswerOptions }[] = [
  { name: "greedy", prompt: "detect circle ; square ; star", options: {} },
  { name: "with scores", prompt: "caption en", options: { outputScores: true } },
  { name: "sampled", prompt: "caption en", options: { doSample: true, numReturnSequences: 3, seed: 1 } },
  { name: "with lookup", prompt: "segment circle ; star", options: { promptLookupNumTokens: 6 } },
];

let backend: NodeBackend;
let model: PaliGemma<Uint8Array | string | URL>;
let onRun: () => void = () => {};
const threads = watchWorkers();
const picture = new URL("../../../tooling/tiny-shapes/evaluation/000.png", import.meta.url);

beforeAll(async () => {
  backend = await createNodeBackend();
  model = await loadPaliGemma(fileURLToPath(folder), {
    backend: tellingBackend(backend, () => onRun()),
    visionCacheBytes: 0, // every call goes all the way, and what is left is left behind
  });
});
afterAll(async () => {
  await model.dispose();
  await backend.dispose();
  expect(threads.live.size).toBe(0);
  threads.end();
});

/** Aborts as soon as the model has been run so many times. */
function abortAfterRuns(runs: number, controller: AbortController): void {
  let left = runs;
  onRun = () => {
    if (--left === 0) controller.abort(REASON);
  };
}

/** What a round does; tells where it was cut off, "end" where the answer was finished before. */
type Round = (asks: readonly Ask<URL>[], options: AnswerOptions, signal: AbortSignal) => Promise<string>;

async function ended(work: Promise<unknown>, where: string): Promise<string> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error !== undefined && error !== REASON) throw error;
  return error === undefined ? "end" : where;
}

/** The first so many ways leave an answer without aborting it. */
const LEAVING = 2;

/** The ways in which an answer can be cut off, each at a random place. */
function cutOffs(controller: AbortController): readonly Round[] {
  const all = async (pieces: AsyncIterable<unknown>): Promise<void> => {
    for await (const _ of pieces);
  };
  return [
    async (asks, options, signal) => {
      let left = 1 + pick(12);
      for await (const _ of model.stream(asks, { ...options, signal })) if (--left === 0) return "return";
      return "end";
    },
    async (asks, options, signal) => {
      const pieces = model.stream(asks, { ...options, signal })[Symbol.asyncIterator]();
      for (let left = pick(12); left > 0; left--) if ((await pieces.next()).done) return "end";
      return await ended(pieces.throw!(REASON), "throw");
    },
    async (asks, options, signal) => {
      controller.abort(REASON);
      return await ended(model.generate(asks, { ...options, signal }), "before");
    },
    async (asks, options, signal) => {
      abortAfterRuns(1 + pick(asks.length), controller);
      return await ended(model.generate(asks, { ...options, signal }), "vision");
    },
    async (asks, options, signal) => {
      abortAfterRuns(asks.length + 1, controller);
      return await ended(model.generate(asks, { ...options, signal }), "prefill");
    },
    async (asks, options, signal) => {
      abortAfterRuns(asks.length + 2 + pick(20), controller);
      return await ended(model.generate(asks, { ...options, signal }), "token");
    },
    async (asks, options, signal) => {
      // At any moment at all: pictures being read, tensors being made, replies on their way.
      const timer = setTimeout(() => controller.abort(REASON), pick(40));
      return await ended(all(model.stream(asks, { ...options, signal })), "moment").finally(() => clearTimeout(timer));
    },
    async (asks, options, signal) => {
      let left = 1 + pick(12);
      const aborting = (async (): Promise<void> => {
        for await (const _ of model.stream(asks, { ...options, signal })) if (--left === 0) controller.abort(REASON);
      })();
      return await ended(aborting, "between pieces");
    },
    async (asks, options, signal) => {
      abortAfterRuns(3 + pick(6), controller);
      const { image = picture } = asks[0]!;
      const { numReturnSequences: _, doSample: _sample, seed: _seed, ...rest } = options;
      return await ended(model.segment(image, ["circle", "star"], { ...rest, signal }), "constrained");
    },
    async (asks, _, signal) => {
      abortAfterRuns(asks.length + 1 + pick(10), controller);
      return await ended(model.generate(asks, { numBeams: 3, maxNewTokens: 12, signal }), "beams");
    },
  ];
}

describe(`${ROUNDS} answers that are cut off at random places`, () => {
  // A signal of the application, which outlives every answer and is never aborted.
  const lasting = new AbortController();

  async function rounds(count: number): Promise<Map<string, number>> {
    const cuts = new Map<string, number>();
    for (let i = 0, cut = 0; cut < count; i++) {
      const own = new AbortController();
      const ways = cutOffs(own);
      const { prompt, options } = WAYS[pick(WAYS.length)]!;
      const asks = Array.from({ length: 1 + pick(3) }, () => ({ image: picture, prompt }));
      const way = i % ways.length;
      const signal = way < LEAVING ? lasting.signal : own.signal;
      const where = await ways[way]!(asks, options, signal);
      onRun = () => {};
      if (where !== "end") cut++;
      cuts.set(where, (cuts.get(where) ?? 0) + 1);
      expect(countListeners([signal], new Set())).toBe(0);
    }
    return cuts;
  }

  it("leave no tensor, thread, listener or memory behind", { timeout: 60_000 + ROUNDS * 2000 }, async () => {
    // Everything that is made once is made: graphs that pick rows, the vocabulary of constraints, the mask codec.
    await rounds(20);
    const held = async (): Promise<readonly number[]> => {
      const { tensors, tensorBytes, sessions } = await backend.stats();
      return [tensors, tensorBytes, sessions];
    };
    const before = await held();
    const [workers, listeners, bytes] = [threads.live.size, countListeners([], threads.live), memory()];
    const cuts = await rounds(ROUNDS);
    const left = memory() - bytes;
    expect(await held()).toEqual(before);
    expect(before[0]).toBe(0);
    expect(threads.live.size).toBe(workers);
    expect(countListeners([], threads.live)).toBe(listeners);
    expect(left).toBeLessThan(LEFT_OVER);
    if (process.env["PALIGEMMA_ABORTS"] !== undefined)
      process.stdout.write(
        `${JSON.stringify({ cuts: Object.fromEntries(cuts), held: before, workers, listeners, left })}\n`,
      );
    // The model goes on answering.
    expect(await model.caption(picture)).not.toBe("");
  });
});
