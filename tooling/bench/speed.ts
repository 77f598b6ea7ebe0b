// Checkpoints of one model side by side, such as a bfloat16 one and its quantised bundles: load, prompt, tokens, memory.
//   node --conditions=@paligemma/source --import tsx tooling/bench/speed.ts FOLDER… [--rounds 3] [--tokens 24] [--threads N]
// Each round runs every folder once, each in a process of its own (tooling/gpu/benchmark.ts), so that what else the machine
// does meets all of them. Prints medians, the spread of the token times, and ratios to the first folder, as Markdown.
import { execFile } from "node:child_process";
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

interface Run {
  readonly loadSeconds: number;
  readonly promptSeconds: number;
  readonly promptTokens: number;
  readonly tokenMilliseconds: number;
  readonly peakMemoryMegabytes: number;
}

const { values, positionals: folders } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "3" },
    tokens: { type: "string", default: "24" },
    threads: { type: "string" },
  },
});
const rounds = Number(values.rounds);
if (folders.length === 0 || !(Number.isInteger(rounds) && rounds > 0)) {
  console.error("usage: speed.ts FOLDER… [--rounds 3] [--tokens 24] [--threads N]");
  process.exit(2);
}

const execute = promisify(execFile);
const benchmark = fileURLToPath(new URL("../gpu/benchmark.ts", import.meta.url));
const runs = new Map<string, Run[]>(folders.map((folder) => [folder, []]));
for (let round = 0; round < rounds; round++) {
  for (const [folder, own] of runs) {
    const threads = values.threads === undefined ? [] : ["--threads", values.threads];
    const { stdout } = await execute(process.execPath, [
      ...process.execArgv,
      benchmark,
      resolve(folder),
      "--tokens",
      values.tokens,
      ...threads,
    ]);
    own.push(JSON.parse(stdout) as Run);
    console.error(`round ${round + 1}: ${stdout.trim()}`);
  }
}

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
const of = (folder: string, what: keyof Run): number => median(runs.get(folder)!.map((run) => run[what]));
const [first] = folders;
console.log("| checkpoint | load, s | prompt, s | × | token, ms (least – most) | tokens/s | × | peak memory, GB |");
console.log("|---|---|---|---|---|---|---|---|");
for (const folder of folders) {
  const [prompt, token] = [of(folder, "promptSeconds"), of(folder, "tokenMilliseconds")];
  const times = runs.get(folder)!.map((run) => run.tokenMilliseconds);
  const cells = [
    basename(resolve(folder)),
    of(folder, "loadSeconds").toFixed(1),
    prompt.toFixed(2),
    (of(first!, "promptSeconds") / prompt).toFixed(2),
    `${token.toFixed(0)} (${Math.min(...times).toFixed(0)} – ${Math.max(...times).toFixed(0)})`,
    (1000 / token).toFixed(1),
    (of(first!, "tokenMilliseconds") / token).toFixed(2),
    (of(folder, "peakMemoryMegabytes") / 1000).toFixed(1),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}
