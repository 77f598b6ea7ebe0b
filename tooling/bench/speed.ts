// Engines side by side on one model and one prompt: ours in every precision, Hugging Face transformers on PyTorch's CPU,
// transformers.js on our exports, and the machine's own limits, each in a process of its own. See docs/performance.md.
//   node --conditions=@paligemma/source --import tsx tooling/bench/speed.ts --out RESULTS.jsonl --checkpoint FOLDER
//     [--int8 FOLDER] [--int4 FOLDER] [--python PYTHON] [--rounds 3] [--tokens 24] [--repeats 3] [--threads 2]
//     [--peer-float32 EXPORT] [--peer-int8 EXPORT] [--peer-int4 EXPORT]
//     [--only limits,float32,int8,int4,torch-float32,torch-bfloat16,transformers.js-float32,…]
// Adds a line to RESULTS.jsonl for each run, so that a run that was cut into pieces (--only) goes on where it was; rounds are
// taken in turn, so that what else the machine does meets all. Ours run as they are built (npm run setup). Then, or with
// --report alone, prints the tables as Markdown.
import { execFile } from "node:child_process";
import { appendFileSync, createReadStream, existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { compiled } from "./compiled.ts";
import { report, type Line } from "./speed-report.ts";
import { workOf, type Work } from "../gpu/work.ts";

/** Tokens of each engine's prompt beside those of its picture. */
const TEXT_TOKENS = 5;

const { values } = parseArgs({
  options: {
    out: { type: "string" },
    checkpoint: { type: "string" },
    int8: { type: "string" },
    int4: { type: "string" },
    python: { type: "string" },
    "peer-float32": { type: "string" },
    "peer-int8": { type: "string" },
    "peer-int4": { type: "string" },
    rounds: { type: "string", default: "3" },
    tokens: { type: "string", default: "24" },
    repeats: { type: "string", default: "3" },
    batch: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    only: { type: "string" },
    report: { type: "boolean", default: false },
  },
});
const { out, checkpoint, python, threads, tokens, repeats, batch } = values;
if (out === undefined || (checkpoint === undefined && !values.report)) {
  console.error(
    "usage: speed.ts --out RESULTS.jsonl --checkpoint FOLDER [--int8 FOLDER] [--int4 FOLDER] [--python PYTHON]",
  );
  process.exit(2);
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const node = (script: string, ...rest: string[]): readonly string[] => [
  process.execPath,
  ...process.execArgv,
  here(script),
  ...rest,
];
const common = ["--tokens", tokens, "--repeats", repeats, "--batch", batch, "--threads", threads];
const ours = (folder: string | undefined): readonly string[] | undefined =>
  folder === undefined ? undefined : [process.execPath, compiled(here("../gpu/benchmark.ts")), folder, ...common];
const peer = (precision: "float32" | "int8" | "int4"): readonly string[] | undefined => {
  const folder = values[`peer-${precision}`];
  return folder === undefined ? undefined : node("../peers/speed.ts", folder, ...common);
};
const torch = (dtype: string): readonly string[] | undefined =>
  python === undefined ? undefined : [python, here("speed.py"), checkpoint!, "--dtype", dtype, ...common];

const engines = new Map<string, readonly string[] | undefined>([
  ["limits", node("../gpu/limits.ts", "--threads", threads)],
  ["float32", ours(checkpoint)],
  ["int8", ours(values.int8)],
  ["int4", ours(values.int4)],
  ["torch-bfloat16", torch("bfloat16")],
  ["torch-float32", torch("float32")],
  ["transformers.js-int8", peer("int8")],
  ["transformers.js-int4", peer("int4")],
  ["transformers.js-float32", peer("float32")],
]);
const wanted = values.only?.split(",") ?? [...engines.keys()];
const unknown = wanted.filter((name) => !engines.has(name));
if (unknown.length > 0) {
  console.error(`--only: ${unknown.join(", ")} is none of ${[...engines.keys()].join(", ")}`);
  process.exit(2);
}

/** Reads every file of a folder, so that each engine finds its weights in the system's file cache, whatever ran before it. */
async function warm(folder: string): Promise<void> {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  for (const path of files.filter((file) => statSync(file).isFile()))
    for await (const _ of createReadStream(path, { highWaterMark: 2 ** 23 }));
}

const execute = promisify(execFile);
for (let round = 0; !values.report && round < Number(values.rounds); round++) {
  for (const name of wanted) {
    const command = engines.get(name);
    if (!command) continue;
    const folder = command.find((part) => existsSync(join(part, "config.json")));
    if (folder !== undefined) await warm(folder);
    const { stdout } = await execute(command[0]!, command.slice(1), { maxBuffer: 2 ** 24 });
    const line: Line = { name, at: new Date().toISOString(), ...(JSON.parse(stdout) as object) };
    appendFileSync(out, `${JSON.stringify(line)}\n`);
    console.error(JSON.stringify(line));
  }
}
const works = new Map<string, Work>();
for (const [name, folder] of Object.entries({ float32: checkpoint, int8: values.int8, int4: values.int4 }))
  if (folder !== undefined && batch === "1") works.set(name, await workOf(folder, TEXT_TOKENS));
const lines = existsSync(out) ? readFileSync(out, "utf8").trim().split("\n") : [];
console.log(
  report(
    lines.map((line) => JSON.parse(line) as Line),
    works,
  ),
);
