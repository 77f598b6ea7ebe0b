// Serves the test repository as the Hub would, until its input ends: prints the endpoint, then on each line of input how many
// bytes of contents were sent so far. For tooling/oracles/hub_cache.py. With the folder of a model as argument, also that one,
// as the gated repository google/gated.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { MODEL } from "./model.ts";
import { startStandIn } from "./stand-in.ts";

const [folder] = process.argv.slice(2);
const own = (folder === undefined ? [] : readdirSync(folder)).map((name) => [name, readFileSync(join(folder!, name))]);
const gated = { files: Object.fromEntries(own), gated: true, branches: ["main", "bfloat16", "float16"] };

await using hub = await startStandIn({ "owner/model": MODEL, "google/gated": gated });
process.stdout.write(`${hub.endpoint}\n`);
for await (const _ of createInterface({ input: process.stdin })) {
  process.stdout.write(`${[...hub.sent.values()].reduce((sum, bytes) => sum + bytes, 0)}\n`);
}
