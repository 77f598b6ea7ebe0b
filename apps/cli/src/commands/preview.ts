import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Command } from "commander";
import { PaliGemmaError } from "@paligemma/core";
import { outlineMask, seededRandom, writeExample, type TrainingRecord } from "@paligemma/datasets";
import { checkImage } from "@paligemma/datasets/node";
import type { DrawnObject } from "@paligemma/drawing";
import { parseDetections } from "@paligemma/parsers";
import { contactSheet, type SheetCell } from "../contact-sheet.ts";
import { datasetCommand, openDatasetOf, type DatasetOptions, type OpenedDataset } from "../dataset-command.ts";
import { interruptible } from "../interruption.ts";
import { wholeNumber } from "../numbers.ts";
import { print } from "../show.ts";

interface PreviewCommandOptions extends DatasetOptions {
  readonly out: string;
  readonly count: number;
  readonly columns: number;
  readonly random?: boolean;
}

/** `paligemma preview <dataset>` */
export function previewCommand(): Command {
  return datasetCommand("preview", "draw records of training data with their boxes, masks and texts on one sheet", [
    "preview cats.coco.json --out sheet.png",
    "preview yolo-folder --out sheet.png --count 24 --random --seed 3",
  ])
    .requiredOption("--out <file>", "the sheet, a .png")
    .option("--count <n>", "records on the sheet", wholeNumber(1), 12)
    .option("--columns <n>", "pictures beside each other", wholeNumber(1), 4)
    .option("--random", "any records (--seed decides), not the first")
    .action(async (path: string, options: PreviewCommandOptions) => {
      if (!options.out.toLowerCase().endsWith(".png"))
        throw new PaliGemmaError("cli/usage", `--out is ${options.out}; sheets are written as PNG, so end it in .png`);
      if (options.count > MAX_COUNT)
        throw new PaliGemmaError("cli/usage", `--count is ${options.count}; a sheet holds at most ${MAX_COUNT}`);
      await interruptible((signal) => preview(path, options, signal));
    });
}

/** The most pictures of a sheet: 60 megapixels. */
const MAX_COUNT = 400;

async function preview(path: string, options: PreviewCommandOptions, signal: AbortSignal): Promise<void> {
  const opened = await openDatasetOf(path, options, signal);
  const { cells, bad } = await chooseCells(opened, options, signal);
  if (cells.length === 0)
    throw new PaliGemmaError(
      "cli/preview",
      `${path} has no good record among the first ${bad}; paligemma prepare --check names the mistakes`,
    );
  const png = await contactSheet(cells, Math.min(options.columns, cells.length));
  await mkdir(dirname(options.out), { recursive: true });
  await writeFile(options.out, png);
  print(
    `${cells.length} records are drawn in ${options.out}${bad > 0 ? `; ${bad} bad ones were left out (paligemma prepare --check names them)` : ""}`,
  );
}

/** The first good records, or a random sample of all that one pass over the data draws. */
async function chooseCells(
  opened: OpenedDataset,
  options: PreviewCommandOptions,
  signal: AbortSignal,
): Promise<{ cells: SheetCell[]; bad: number }> {
  const { dataset } = opened;
  const random = seededRandom(options.seed, "preview");
  const chosen: TrainingRecord[] = [];
  const cells: SheetCell[] = [];
  let [seen, bad] = [0, 0];
  const draw = async (record: TrainingRecord): Promise<void> => {
    const cell = await cellOf(record, opened, signal);
    if (cell) cells.push(cell);
    else bad++;
  };
  for await (const reading of dataset.records(signal)) {
    if ("bad" in reading) bad++;
    else if (!options.random) await draw(reading.record);
    else {
      // Reservoir sampling: every record is kept with the same chance, whatever their number.
      const place = chosen.length < options.count ? chosen.length : Math.floor(random() * (seen + 1));
      if (place < options.count) chosen[place] = reading.record;
      seen++;
    }
    if (cells.length === options.count) break;
  }
  for (const record of chosen) await draw(record);
  return { cells, bad };
}

async function cellOf(
  record: TrainingRecord,
  { dataset, examples }: OpenedDataset,
  signal: AbortSignal,
): Promise<SheetCell | undefined> {
  const image = await checkImage(record, dataset.images);
  if ("problem" in image) return undefined;
  const classes = examples.classes ?? (await dataset.classes(signal));
  const written = writeExample(record, { ...examples, classes }, image.size);
  if ("problems" in written) return undefined;
  return {
    path: image.path,
    objects: drawnObjects(record, written.answer, image.size),
    lines: [written.prompt, written.answer || "(nothing)"],
  };
}

function drawnObjects(
  { content }: TrainingRecord,
  answer: string,
  size: { readonly width: number; readonly height: number },
): readonly DrawnObject[] {
  if (content.kind === "text") return parseDetections(answer).items.map(({ label, box }) => ({ label, box }));
  return content.objects.map(({ label, box, outline }) => ({
    label,
    box,
    ...(outline && { mask: outlineMask(outline, size) }),
  }));
}
