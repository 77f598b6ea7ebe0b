// Loads a checkpoint, answers one prompt with one picture, and prints what it took as one line of JSON; see README.md.
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
  },
});
const [folder] = positionals;
const tokens = Number(values.tokens);
if (folder === undefined || !["cpu", "cuda"].includes(values.device) || !(Number.isInteger(tokens) && tokens > 0)) {
  console.error("usage: benchmark.ts FOLDER [--device cpu|cuda] [--threads N] [--cache FOLDER] [--tokens 20]");
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
const picture = new Float32Array(numChannels * imageSize * imageSize).map((_, i) => Math.sin(i));
const pixelValues = ndArray("float32", [1, numChannels, imageSize, imageSize], picture);
const prompt = [...Array.from({ length: config.numImageTokens }, () => config.imageTokenIndex), 2, 10, 11, 12, 108];
const inputIds = ndArray("int64", [1, prompt.length], BigInt64Array.from(prompt, BigInt));

const steps: number[] = [];
let prefill = 0;
const late = await lateness(async () => {
  const [state, milliseconds] = await timed(() =>
    model.start({ pixelValues, inputIds }, { expectedTokens: tokens + 1 }),
  );
  prefill = milliseconds;
  // The first token is in the prompt's scores already.
  await state.advanceGreedy(1, []);
  for (let i = 1; i < tokens; i++) steps.push((await timed(() => state.advanceGreedy(1, [])))[1]);
  state.dispose();
});
const step = steps.toSorted((a, b) => a - b)[steps.length >> 1] ?? 0;
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
    promptSeconds: round(prefill / 1000),
    tokens,
    tokenMilliseconds: round(step),
    tokensPerSecond: round(1000 / step),
    timerLateMilliseconds: round(late),
    peakMemoryMegabytes: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
);
await model.dispose();
await backend.dispose();
