// An export of ours in transformers.js, as one line of JSON: the peer of tooling/gpu/benchmark.ts, for tooling/bench/speed.ts.
//   node --conditions=@paligemma/source --import tsx tooling/peers/speed.ts FOLDER [--tokens 24] [--repeats 3] [--batch 1]
// Same prompt, same picture, greedy, cache on. A prompt is timed as an answer of one token, a token as what each further one adds
// to an answer: transformers.js hands out no steps. One warm-up. It takes as many threads as it likes.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseConfig } from "@paligemma/config";
import { ndArray } from "@paligemma/core";
import { openPeer } from "./test/transformers-js.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: "string", default: "24" },
    repeats: { type: "string", default: "3" },
    batch: { type: "string", default: "1" },
    threads: { type: "string" },
  },
});
const [folder] = positionals;
const [tokens, repeats, batch] = [Number(values.tokens), Number(values.repeats), Number(values.batch)];
if (folder === undefined || ![tokens, repeats, batch].every((n) => Number.isInteger(n) && n > 0) || tokens < 2) {
  console.error("usage: speed.ts EXPORT [--tokens 24] [--repeats 3] [--batch 1]");
  process.exit(2);
}

const config = parseConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8")));
const begin = performance.now();
const peer = await openPeer(folder);
const load = performance.now() - begin;

const { numChannels, imageSize } = config.vision;
const pixels = numChannels * imageSize * imageSize;
const prompt = [...Array.from({ length: config.numImageTokens }, () => config.imageTokenIndex), 2, 10, 11, 12, 108];
const inputs = {
  pixelValues: ndArray(
    "float32",
    [batch, numChannels, imageSize, imageSize],
    new Float32Array(batch * pixels).map((_, i) => Math.sin(i % pixels)),
  ),
  inputIds: ndArray(
    "int64",
    [batch, prompt.length],
    BigInt64Array.from(Array.from({ length: batch }, () => prompt).flat(), BigInt),
  ),
};
let chosen: readonly number[] = [];
/** Seconds of an answer of exactly so many tokens. */
async function answer(count: number): Promise<number> {
  const start = performance.now();
  chosen = await peer.greedy(inputs, { min_new_tokens: count, max_new_tokens: count });
  return (performance.now() - start) / 1000;
}
const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;

const first = await answer(1);
const prompts: number[] = [];
const whole: number[] = [];
for (let i = 0; i < repeats; i++) {
  prompts.push(await answer(1));
  whole.push(await answer(tokens));
}
const round = (x: number): number => Math.round(x * 1000) / 1000;
console.log(
  JSON.stringify({
    engine: "transformers.js",
    batch,
    promptTokens: prompt.length,
    loadSeconds: round(load / 1000),
    firstTokenSeconds: round(load / 1000 + first),
    promptSeconds: round(median(prompts)),
    promptSecondsLeast: round(Math.min(...prompts)),
    tokenMilliseconds: round((1000 * (median(whole) - median(prompts))) / (tokens - 1)),
    tokenMillisecondsLeast: round((1000 * (Math.min(...whole) - Math.min(...prompts))) / (tokens - 1)),
    peakMemoryMegabytes: Math.round((process.resourceUsage().maxRSS * 1024) / 1e6),
    tokens: chosen.slice(0, 8),
  }),
);
await peer.dispose();
