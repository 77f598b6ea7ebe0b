// Serves the test repository as the Hub would, until its input ends: prints the endpoint, then on each line of input how many
// bytes of contents were sent so far. A line "break {path} {bytes}" lets the next answer with that file break off after so many. For tooling/oracles/hub_cache.py. With the folder of a model as argument, also that one,
// as the gated repository google/gated; with more of them, those as owner/{name of the folder}.
import { readFileSync, readdirSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { MODEL } from "./model.ts";
import { startStandIn } from "./stand-in.ts";

const [first, ...others] = process.argv.slice(2);
const filesOf = (folder: string): Record<string, Uint8Array> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      .map((path) => [relative(folder, path).replaceAll("\\", "/"), readFileSync(path)]),
  );
const gated = {
  files: first === undefined ? {} : filesOf(first),
  gated: true,
  branches: ["main", "bfloat16", "float16"],
};

await using hub = await startStandIn({
  "owner/model": MODEL,
  "google/gated": gated,
  ...Object.fromEntries(others.map((folder) => [`owner/${basename(folder)}`, { files: filesOf(folder) }])),
});
process.stdout.write(`${hub.endpoint}\n`);
const breaks = new Map<string, number>();
hub.fault = ({ path }) => {
  const after = breaks.get(path);
  breaks.delete(path);
  return after === undefined ? undefined : { kind: "break", after };
};
for await (const line of createInterface({ input: process.stdin })) {
  const [, path, after] = /^break (.*) (\d+)$/.exec(line) ?? [];
  if (path !== undefined) breaks.set(path, Number(after));
  process.stdout.write(`${[...hub.sent.values()].reduce((sum, bytes) => sum + bytes, 0)}\n`);
}
