// Serves the test repository as the Hub would, until its input ends: prints the endpoint, then on each line of input how many
// bytes of contents were sent so far. For tooling/oracles/hub_cache.py.
import { createInterface } from "node:readline";
import { MODEL } from "./model.ts";
import { startStandIn } from "./stand-in.ts";

await using hub = await startStandIn({ "owner/model": MODEL });
process.stdout.write(`${hub.endpoint}\n`);
for await (const _ of createInterface({ input: process.stdin })) {
  process.stdout.write(`${[...hub.sent.values()].reduce((sum, bytes) => sum + bytes, 0)}\n`);
}
