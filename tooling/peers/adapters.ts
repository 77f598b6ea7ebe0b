// How long swapping LoRA adapters takes on the tiny checkpoints, and what a prompt costs with and without places for them.
//   node --conditions=@paligemma/source --import tsx tooling/peers/adapters.ts
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createNodeBackend } from "@paligemma/backend-node";
import { parseConfig } from "@paligemma/config";
import { openAdapter, type Adapter } from "@paligemma/weights";
import { folderFiles, openCheckpoint } from "@paligemma/weights/node";
import { createModel, type CheckpointModel } from "paligemma";

const TINY = fileURLToPath(new URL("../../packages/paligemma/test/fixtures/hf-tiny/pg2-tiny/", import.meta.url));
const ADAPTERS = new URL("../fixtures/adapters/", import.meta.url);
const ROUNDS = 200;

const config = parseConfig(JSON.parse(readFileSync(`${TINY}config.json`, "utf8")));
const checkpoint = await openCheckpoint(TINY);
const adapters: Record<string, Adapter> = {};
for (const name of ["all-linear-rslora", "dora", "table"])
  adapters[name] = await openAdapter(await folderFiles(new URL(`${name}/`, ADAPTERS)));

const ids = [256, 256, 256, 256, 2, 10, 11, 12, 108];
const inputs = {
  inputIds: { dtype: "int64", shape: [1, ids.length], data: BigInt64Array.from(ids, BigInt) },
  pixelValues: { dtype: "float32", shape: [1, 3, 28, 28], data: new Float32Array(3 * 28 * 28).fill(0.1) },
} as const;
const prompt = async (model: CheckpointModel): Promise<unknown> => await model.forward(inputs, { logitsToKeep: 1 });

await using backend = await createNodeBackend();
await using plain = await createModel({ config, checkpoint, backend });
const loading = performance.now();
await using model = await createModel({ config, checkpoint, backend, adapters });
const loaded = performance.now() - loading;

const times: Record<string, number[]> = {
  swap: [],
  "prompt after a swap": [],
  "prompt again": [],
  "prompt, no places": [],
};
async function timed(name: string, work: () => unknown): Promise<void> {
  const start = performance.now();
  await work();
  times[name]!.push(performance.now() - start);
}
const names = [...Object.keys(adapters), null];
for (let round = -5; round < ROUNDS; round++) {
  if (round === 0) for (const list of Object.values(times)) list.length = 0;
  await timed("swap", () => model.adapters.use(names[(round + 8) % names.length]!));
  await timed("prompt after a swap", () => prompt(model));
  await timed("prompt again", () => prompt(model));
  await timed("prompt, no places", () => prompt(plain));
}
console.log(
  `${backend.name}, pg2-tiny, ${Object.keys(adapters).length} adapters, loaded in ${loaded.toFixed(0)} ms, ${ROUNDS} rounds`,
);
for (const [name, list] of Object.entries(times)) {
  const sorted = list.toSorted((a, b) => a - b);
  console.log(
    `${name.padEnd(20)} median ${sorted[ROUNDS >> 1]!.toFixed(4)} ms, longest ${sorted.at(-1)!.toFixed(4)} ms`,
  );
}
