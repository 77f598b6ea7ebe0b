import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { Option, type Command } from "commander";
import type { MaskCodec } from "@paligemma/masks";
import { maskCodecOf } from "paligemma";
import { datasetOptions, openDatasetOf, type DatasetOptions } from "../dataset-command.ts";
import { METRICS, METRIC_NAMES, type Metric } from "../eval/answers.ts";
import { answersInMemory, digest, openAnswers, replaceFile, type Settings } from "../eval/answers-file.ts";
import { evaluate } from "../eval/evaluate.ts";
import { reportOf, reportTable, type Report } from "../eval/report.ts";
import { worstSheet } from "../eval/worst-sheet.ts";
import { interruptible } from "../interruption.ts";
import { modelCommand, type ModelOptions } from "../model-command.ts";
import { wholeNumber } from "../numbers.ts";
import { openFilesOf, withModel } from "../open-model.ts";
import { recordBar } from "../record-bar.ts";
import { print, printJson } from "../show.ts";

interface EvalOptions extends DatasetOptions, ModelOptions {
  readonly model?: string;
  readonly verbose?: boolean;
  readonly out?: string;
  readonly metric?: Metric;
  readonly limit?: number;
  readonly worst: number;
  readonly eachClass?: boolean;
}

/** The most pictures of a sheet: 60 megapixels. */
const MAX_WORST = 400;

/** `paligemma eval <dataset>` */
export function evalCommand(): Command {
  const command = modelCommand("eval", "ask a model what a dataset asks, and score its answers", [
    "eval test.jsonl --out results",
    "eval coco-folder --split valid --task segment --each-class --out results",
    "eval questions.csv --metric anls --limit 200 --json",
  ]).argument("<dataset>", "a file of annotations, or the folder that holds it: JSONL, CSV, COCO, Pascal VOC, YOLO");
  return datasetOptions(command)
    .option("--out <folder>", "where answers, report and worst cases go; a run that was cut off there goes on")
    .addOption(new Option("--metric <name>", "how answers are compared (default: by the task)").choices([...METRICS]))
    .option("--limit <n>", "only the first records", wholeNumber(1))
    .option("--each-class", "ask for one class at a time and join the answers, for models that were taught so")
    .option("--worst <n>", "pictures on the sheet of the worst answers; 0 for none", wholeNumber(0, MAX_WORST), 12)
    .addHelpText(
      "after",
      `\nMetrics:\n${METRICS.map((name) => `  ${name.padEnd(8)} ${METRIC_NAMES[name]}`).join("\n")}
By task: detect → boxes, segment → masks, caption → cider, ocr → edit, answers that are data → fields, ten answers → vqa,
other questions → exact.`,
    )
    .action(async (path: string, options: EvalOptions) => {
      await interruptible((signal) => run(path, options, signal));
    });
}

async function run(path: string, options: EvalOptions, signal: AbortSignal): Promise<void> {
  const { out, limit = Number.MAX_SAFE_INTEGER, metric, eachClass, batchSize, maxNewTokens, worst } = options;
  const { dataset, examples } = await openDatasetOf(path, { ...options, task: undefined }, signal);
  const classes = examples.classes ?? (await dataset.classes(signal));
  const codec = lazily(async () => await maskCodecOf((await openFilesOf(options.model, quietly(signal))).files)());
  if (options.task === "segment") await codec();
  const settings = { ...(await settingsOf(options)), dataset: digest(await dataset.fingerprint()) };
  await using answers = out === undefined ? answersInMemory() : await openAnswers(out, settings);
  const before = answers.lines.length;

  if (before < Math.min(limit, await dataset.count(signal))) {
    await withModel(options, signal, async (model) => {
      using bar = recordBar();
      const { onProgress } = bar;
      const how = { examples: { ...examples, classes, task: options.task }, metric, eachClass, maxNewTokens };
      await evaluate({ ...how, model, dataset, codec, answers, batchSize, limit, signal, onProgress });
    });
  }
  const report = reportOf(answers.lines.slice(0, limit), worst);
  const about = { model: options.model ?? "tiny-shapes (embedded)", dataset: path, ...report };
  if (out !== undefined) await writeReport(out, about, dataset.images, codec);
  if (options.json) return printJson(about);
  if (before > 0) print(`${Math.min(before, limit)} records were answered by an earlier run`);
  for (const line of reportTable(report)) print(line);
  if (out !== undefined)
    print(`report.json, answers.jsonl${report.worst.length > 0 ? " and worst.png" : ""} are in ${out}`);
}

async function writeReport(
  out: string,
  report: Report,
  images: string,
  codec: () => Promise<MaskCodec>,
): Promise<void> {
  await replaceFile(join(out, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  if (report.worst.length > 0) await replaceFile(join(out, "worst.png"), await worstSheet(report.worst, images, codec));
}

/** Everything that decides the answers, but the data. How many are asked at once changes none of them. */
async function settingsOf(options: EvalOptions): Promise<Settings> {
  const { model, device, dtype, maxNewTokens, metric, task, classes, classList, classOrder, seed, eachClass } = options;
  return {
    model: model ?? null,
    weights: model === undefined ? null : await weightsOf(model),
    device,
    dtype: dtype ?? null,
    maxNewTokens: maxNewTokens ?? null,
    metric: metric ?? null,
    task: task ?? null,
    classes: classes ?? null,
    classList: classList ?? null,
    classOrder: classOrder ?? null,
    seed,
    eachClass: eachClass ?? false,
  };
}

/** Names, sizes and times of a folder's weights, so that another training of the model is noticed. */
async function weightsOf(folder: string): Promise<string | null> {
  const names = await readdir(folder).catch(() => undefined);
  if (names === undefined) return null; // a repository of the Hub, whose revision is in its name
  const weights = names.filter((name) => /\.(?:safetensors|npz|onnx|onnx_data)$/.test(name)).toSorted();
  const states = await Promise.all(weights.map((name) => stat(join(folder, name))));
  return digest(states.map(({ size, mtimeMs }, i) => `${basename(weights[i]!)} ${size} ${mtimeMs}`).join("\n"));
}

function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

function quietly(signal: AbortSignal): { readonly signal: AbortSignal; readonly onProgress: () => void } {
  return { signal, onProgress: () => {} };
}
