// Loads a checkpoint, answers one prompt with one picture, and prints what it took as one line of JSON; see README.md.
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createNodeBackend, type NodeBackendOptions } from "@paligemma/backend-node";
import { parseConfig } from "@paligemma/config";
import { ndArray } from "@paligemma/core";
import { openCheckpoint } from "@paligemma/weights/node";
import { createModel } from "paligemma";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: "string", default: "cpu" },
    threads: { type: "string" },
    cache: { type: "string" },
    tokens: { type: "string", default: "20" },
    batch: { type: "string", default: "1" },
    repeats: { type: "string", default: "1" },
  },
});
const [folder] = positionals;
const [tokens, batch, repeats] = [Number(values.tokens), Number(values.batch), Number(values.repeats)];
const isCount = (n: number): boolean => Number.isInteger(n) && n > 0;
if (folder === undefined || !["cpu", "cuda"].includes(values.device) || ![tokens, batch, repeats].every(isCount)) {
  console.error(
    "usage: benchmark.ts FOLDER [--device cpu|cuda] [--threads N] [--cache FOLDER] [--tokens 20] [--batch 1] [--repeats 1]",
  );
  process.exit(2);
}
const options: NodeBackendOptions = {
  device: values.device as "cpu" | "cuda",
  ...(values.threads !== undefined && { threads: Number(values.threads) }),
  ...(values.cache !== undefined && { cacheFolder: values.cache }),
};

/** The longest time between two ticks of a 1 ms timer on this thread while `work` runs, less that millisecond. */
async function lateness(work: () => Promise<void>): Promise<number> {
  let [last, worst] = [performance.now(), 0];
  const tick = (): void => {
    const now = performance.now();
    worst = Math.max(worst, now - last - 1);
    last = now;
  };
  const timer = setInterval(tick, 1);
  await work();
  tick();
  clearInterval(timer);
  return worst;
}

async function timed<T>(work: () => Promise<T>): Promise<readonly [result: T, milliseconds: number]> {
  const start = performance.now();
  const result = await work();
  return [result, performance.now() - start];
}

const config = parseConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8")));
const [backend, start] = await timed(() => createNodeBackend(options));
const checkpoint = await openCheckpoint(folder);
const [model, load] = await timed(() => createModel({ config, checkpoint, backend }));

const { numChannels, imageSize } = config.vision;
const pixels = numChannels * imageSize * imageSize;
const picture = new Float32Array(batch * pixels).map((_, i) => Math.sin(i % pixels));
const pixelValues = ndArray("float32", [batch, numChannels, imageSize, imageSize], picture);
const prompt = [...Array.from({ length: config.numImageTokens }, () => config.imageTokenIndex), 2, 10, 11, 12, 108];
const ids = Array.from({ length: batch }, () => prompt).flat();
const inputIds = ndArray("int64", [batch, prompt.length], BigInt64Array.from(ids, BigInt));

/** What systems tell in units of 1,024 bytes, in millions of them. */
const megabytes = (kibibytes: number): number => Math.round((kibibytes * 1024) / 1e6);

/**
 * Memory in use now, in MB, and how much of it is no mapped file; undefined where the system does not tell. A page that two graphs
 * map is counted once ("Pss"), as it is there once.
 */
function resident(): { readonly all: number; readonly own: number } | undefined {
  if (process.platform !== "linux") return undefined;
  const rollup = readFileSync("/proc/self/smaps_rollup", "utf8");
  const of = (key: string): number => megabytes(Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? 0));
  return { all: of("Pss"), own: of("Pss_Anon") };
}

const WARMING_STEPS = 36;
const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
const steps: number[] = [];
const prefills: number[] = [];
const chosen: number[] = [];
// Of a step, on average, what did not pass inside of the runtime: messages between threads, bookkeeping. Of tokens that are read
// one by one, and of those of an answer that is read whole.
let [streamed, collected] = [0, 0];
const outsideOfRuns = async (work: () => Promise<unknown>): Promise<number> => {
  const { runMilliseconds: before } = await backend.stats();
  const [, all] = await timed(work);
  const { runMilliseconds: after } = await backend.stats();
  return (all - (after - before)) / Math.max(1, tokens - 1);
};
let firstStep = 0;
/** Milliseconds of the first step after a prompt that is not the first. */
const afterPrompts: number[] = [];
const prefill = async (): ReturnType<typeof model.start> => {
  const [state, milliseconds] = await timed(() =>
    model.start({ pixelValues, inputIds }, { expectedTokens: tokens + 1 }),
  );
  prefills.push(milliseconds);
  return state;
};
{
  using state = await prefill();
  // The first token is in the prompt's scores already.
  chosen.push(...(await state.advanceGreedy(1, []))[0]!);
}
{
  // What is compiled for the first step, and made for steps when there have been some, is part of no other.
  using state = await prefill();
  const [, milliseconds] = await timed(() => state.advanceGreedy(2, []));
  firstStep = milliseconds;
  await state.advanceGreedy(WARMING_STEPS, []);
}
/** An answer with its first tokens: with the second, what its prompt needed is given back. */
const begun = async (): ReturnType<typeof model.start> => {
  const state = await model.start({ pixelValues, inputIds }, { expectedTokens: tokens + 2 });
  await state.advanceGreedy(1, []);
  afterPrompts.push((await timed(() => state.advanceGreedy(1, [])))[1]);
  return state;
};
for (let repeat = 2; repeat < repeats; repeat++) (await prefill()).dispose();
{
  // Nothing else happens in this thread meanwhile: a timer would take its turns from the two threads that multiply.
  using state = await begun();
  streamed = await outsideOfRuns(async () => {
    for (let i = 1; i < tokens; i++) {
      const [next, took] = await timed(() => state.advanceGreedy(1, [], tokens - 1 - i));
      steps.push(took);
      if (i < 8) chosen.push(next[0]![0]!);
    }
  });
}
{
  using state = await begun();
  collected = await outsideOfRuns(() => state.advanceGreedy(tokens - 1, []));
}
/** After answers, with all that they need loaded. */
const memory = resident();
// Tokens that are chosen outside of the model: by the scores of all, and of as many as there are locations, as constraints ask for them.
const locations = Int32Array.from({ length: 1024 }, (_, i) => config.text.vocabSize - 1152 + i);
const chosenOutside = async (
  score: (state: Awaited<ReturnType<typeof prefill>>) => Promise<unknown>,
): Promise<number> => {
  using state = await model.start({ pixelValues, inputIds }, { expectedTokens: tokens + 1 });
  await state.logits();
  const times: number[] = [];
  for (let i = 0; i < Math.min(tokens, 12); i++) {
    await state.advance(Array.from({ length: batch }, () => 108));
    times.push((await timed(() => score(state)))[1]);
  }
  return median(times);
};
const allScores = await chosenOutside((state) => state.logits());
const someScores = await chosenOutside((state) => state.logitsOf?.(locations) ?? state.logits());
// What else this thread could do while a prompt runs; in prompts whose time is told the timer would take its turns from those who multiply.
const late = await lateness(async () => {
  using state = await model.start({ pixelValues, inputIds }, { expectedTokens: 2 });
  await state.advanceGreedy(1, []);
});
const visions: number[] = [];
for (let repeat = 0; repeat < Math.max(5, repeats); repeat++) {
  const [features, milliseconds] = await timed(() => model.encodeImages(pixelValues));
  visions.push(milliseconds);
  features.dispose();
}
const step = median(steps);
const round = (x: number): number => Math.round(x * 100) / 100;
console.log(
  JSON.stringify({
    backend: backend.name,
    processor: `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`,
    checkpoint: folder,
    dtype: config.dtype,
    startSeconds: round(start / 1000),
    loadSeconds: round(load / 1000),
    promptTokens: prompt.length,
    batch,
    promptSeconds: round(median(prefills) / 1000),
    visionSeconds: Math.round(median(visions)) / 1000,
    promptSecondsLeast: round(Math.min(...prefills) / 1000),
    firstTokenSeconds: round((load + prefills[0]!) / 1000),
    tokens: chosen,
    firstStepMilliseconds: round(firstStep),
    afterPromptMilliseconds: round(median(afterPrompts)),
    tokenMilliseconds: round(step),
    tokenMillisecondsLeast: round(Math.min(...steps)),
    allScoresMilliseconds: round(allScores),
    someScoresMilliseconds: round(someScores),
    tokensPerSecond: round((1000 * batch) / step),
    outsideRuntimeMilliseconds: round(streamed),
    collectedOutsideRuntimeMilliseconds: round(collected),
    residentMegabytes: memory?.all,
    ownMegabytes: memory?.own,
    timerLateMilliseconds: round(late),
    peakMemoryMegabytes: megabytes(process.resourceUsage().maxRSS),
  }),
);
await model.dispose();
await backend.dispose();
