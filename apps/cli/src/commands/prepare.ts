import { join } from "node:path";
import { Option, type Command } from "commander";
import { PaliGemmaError } from "@paligemma/core";
import type { BadRecord } from "@paligemma/datasets";
import { prepare, validateDataset, type PixelDtype } from "@paligemma/datasets/node";
import { datasetCommand, openDatasetOf, type DatasetOptions } from "../dataset-command.ts";
import { interruptible } from "../interruption.ts";
import { wholeNumber } from "../numbers.ts";
import { recordBar } from "../record-bar.ts";
import { print, printJson } from "../show.ts";

interface PrepareCommandOptions extends DatasetOptions {
  readonly out?: string;
  readonly check?: boolean;
  readonly to: "safetensors" | "jsonl";
  readonly maxLength?: number;
  readonly shardMb: number;
  readonly dtype: PixelDtype;
  readonly paddingSide: "left" | "right";
  readonly workers?: number;
  readonly json?: boolean;
}

/** `paligemma prepare <dataset>` */
export function prepareCommand(): Command {
  return datasetCommand("prepare", "turn training data into model inputs, or check it", [
    "prepare cats.coco.json --out prepared --object-order random --seed 1",
    "prepare roboflow-folder --check",
    "prepare yolo-folder --out texts --to jsonl",
  ])
    .option("--out <folder>", "where the inputs go; a run that was cut off there goes on")
    .option("--check", "write nothing, name every mistake by file and line")
    .addOption(
      new Option("--to <form>", "shards of model inputs, or lines of image, prefix and suffix")
        .choices(["safetensors", "jsonl"])
        .default("safetensors"),
    )
    .option("--max-length <n>", "records with more tokens, image tokens included, are mistakes", wholeNumber(1))
    .option("--shard-mb <n>", "pictures of one shard in MiB of float32: what is held in memory", wholeNumber(1), 64)
    .addOption(
      new Option("--dtype <name>", "number format of the pictures")
        .choices(["float32", "float16", "bfloat16"])
        .default("float32"),
    )
    .addOption(new Option("--padding-side <side>", "where pads stand").choices(["left", "right"]).default("right"))
    .option("--workers <n>", "threads that decode pictures (default: one per core)", wholeNumber(1))
    .option("--json", "print one JSON document")
    .action(async (path: string, options: PrepareCommandOptions) => {
      if ((options.out === undefined) === !options.check)
        throw new PaliGemmaError("cli/usage", "give --out, where the inputs go, or --check, to look for mistakes only");
      await interruptible((signal) => (options.check ? check(path, options, signal) : write(path, options, signal)));
    });
}

async function write(path: string, options: PrepareCommandOptions, signal: AbortSignal): Promise<void> {
  const { out, to, maxLength, shardMb, dtype, paddingSide, workers } = options;
  const { dataset, processor, examples } = await openDatasetOf(path, options, signal);
  using bar = recordBar();
  const { onProgress } = bar;
  const summary = await prepare(dataset, {
    ...examples,
    processor,
    out: out!,
    output: to,
    maxLength,
    shardBytes: shardMb * 2 ** 20,
    dtype,
    paddingSide,
    workers,
    signal,
    onProgress,
  });
  if (options.json) return printJson(summary);
  const resumed = summary.resumed > 0 ? ` (${summary.resumed} of an earlier run)` : "";
  print(
    `${summary.written} of ${summary.records} records${resumed} are in ${out}, ${summary.files.length - 2} ${summary.files.length === 3 ? "file" : "files"} and index.json`,
  );
  if (summary.bad > 0) print(`${summary.bad} bad records and their mistakes are in ${join(out!, "bad.jsonl")}`);
}

async function check(path: string, options: PrepareCommandOptions, signal: AbortSignal): Promise<void> {
  const { dataset, examples } = await openDatasetOf(path, options, signal);
  const report = validateDataset(dataset, { ...examples, signal });
  const all: BadRecord[] = [];
  let step = await report.next();
  for (; !step.done; step = await report.next()) {
    if (options.json) all.push(step.value);
    else for (const line of reportLines(step.value)) print(line);
  }
  const { records, bad, problems } = step.value;
  const counts = Object.fromEntries([...problems].toSorted(([, a], [, b]) => b - a));
  if (options.json) printJson({ records, bad, problems: counts, entries: all });
  else {
    for (const [code, count] of Object.entries(counts)) print(`${String(count).padStart(6)} × ${code}`);
    print(`${records} records, ${bad} bad`);
  }
  if (bad > 0)
    throw new PaliGemmaError("cli/check", `${bad} of ${records} records are bad; correct the mistakes named above`);
}

/** A line per mistake, as compilers write them. */
function reportLines({ origin, problems }: BadRecord): string[] {
  return problems.map(({ code, message, line }) => `${origin.file}:${line ?? origin.line}: ${code}: ${message}`);
}
