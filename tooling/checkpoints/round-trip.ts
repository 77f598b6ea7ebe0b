// safetensors → npz → safetensors → npz of a large checkpoint: time, memory, and whether everything comes back; see README.md.
import { createReadStream } from "node:fs";
import { mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseConfig, releasedTensors } from "@paligemma/config";
import { canonicalNames, matchTensors, tensorPieces, toBigVision, type Checkpoint } from "@paligemma/weights";
import { openCheckpoint, writeNpz, writeShards } from "@paligemma/weights/node";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { work: { type: "string" }, keep: { type: "boolean" } },
});
const [folder] = positionals;
if (folder === undefined || values.work === undefined) {
  console.error("usage: round-trip.ts <checkpoint folder> --work FOLDER [--keep]");
  process.exit(2);
}
const config = parseConfig(JSON.parse(readFileSync(join(folder, "config.json"), "utf8")));
const expected = releasedTensors(config);
const { work } = values;
mkdirSync(work, { recursive: true });
const [first, second, back] = ["first.npz", "second.npz", "back"].map((name) => join(work, name)) as [
  string,
  string,
  string,
];

const given = canonicalNames(await openCheckpoint(folder));
matchTensors(given, expected);
await timed("safetensors → npz", () => writeNpz(first, toBigVision(given, config).tensors.values()));
const npz = await openCheckpoint(first);
matchTensors(npz, expected);
await timed("npz → safetensors", () => writeShards(back, npz.tensors.values(), { shards: 3 }));
const returned = await openCheckpoint(back);
await timed("safetensors → npz", () => writeNpz(second, toBigVision(returned, config).tensors.values()));
await timed("compare the safetensors", () => compareTensors(given, returned));
await timed("compare the npz", () => compareFiles(first, second));
if (!values.keep) for (const path of [first, second, back]) rmSync(path, { recursive: true });

async function timed(what: string, act: () => Promise<unknown>): Promise<void> {
  const started = performance.now();
  await act();
  const peak = (process.resourceUsage().maxRSS / 1024).toFixed(0);
  console.log(`${what}: ${((performance.now() - started) / 1000).toFixed(1)} s, at most ${peak} MB of memory so far`);
}

/** Every tensor bit for bit; of the token table the rows that big_vision has. */
async function compareTensors(a: Checkpoint, b: Checkpoint): Promise<void> {
  for (const [name, ref] of a.tensors) {
    const other = b.tensors.get(name);
    if (!other || other.dtype !== ref.dtype || other.shape.join() !== ref.shape.join())
      throw new Error(`${name} came back otherwise`);
    const kept = name.endsWith("embed_tokens.weight") ? config.imageTokenIndex / (ref.shape[0] ?? 1) : 1;
    const length = (ref.end - ref.start) * kept;
    const one = tensorPieces({ ...ref, end: ref.start + length });
    const two = tensorPieces({ ...other, end: other.start + length });
    for (;;) {
      const [x, y] = await Promise.all([one.next(), two.next()]);
      if (x.done || y.done) break;
      if (Buffer.compare(x.value, y.value) !== 0) throw new Error(`${name} came back with other bytes`);
    }
  }
}

async function compareFiles(a: string, b: string): Promise<void> {
  if (statSync(a).size !== statSync(b).size) throw new Error("the npz files have two sizes");
  const options = { highWaterMark: 1 << 24 };
  const two = createReadStream(b, options)[Symbol.asyncIterator]();
  for await (const chunk of createReadStream(a, options)) {
    const { value } = (await two.next()) as { readonly value: Buffer };
    if (Buffer.compare(chunk as Buffer, value) !== 0) throw new Error("the npz files differ");
  }
}
