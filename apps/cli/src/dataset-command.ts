import { Option, type Command } from "commander";
import type { ExampleOptions } from "@paligemma/datasets";
import { openDataset, type Dataset, type DatasetFormat } from "@paligemma/datasets/node";
import { encodeSegments } from "@paligemma/masks";
import type { Processor } from "@paligemma/processor";
import { maskCodecOf, readConfig, readProcessor } from "paligemma";
import { plainCommand } from "./model-command.ts";
import { wholeNumber } from "./numbers.ts";
import { openFilesOf } from "./open-model.ts";

/** Options of every command that reads training data. */
export interface DatasetOptions {
  readonly model?: string;
  readonly format?: DatasetFormat;
  readonly images?: string;
  readonly split?: string;
  readonly firstPixel?: number;
  readonly task?: "detect" | "segment" | undefined;
  readonly classes?: string;
  readonly classList?: "all" | "present";
  readonly classOrder?: "given" | "random";
  readonly objectOrder?: "given" | "random";
  readonly seed: number;
  readonly jsonAnswers?: "tags" | "json";
  readonly maxAnswerTokens?: number;
  readonly verbose?: boolean;
}

/** A command with all options of `DatasetOptions`, for training data; its first argument is the dataset. */
export function datasetCommand(name: string, summary: string, examples: readonly string[]): Command {
  const command = plainCommand(name, summary, examples)
    .argument("<dataset>", "a file of annotations, or the folder that holds it: JSONL, CSV, COCO, Pascal VOC, YOLO")
    .option(
      "--model <name>",
      "whose tokens and picture size: a folder, or owner/name of the Hub (default: the embedded tiny-shapes)",
    );
  return datasetOptions(command)
    .addOption(
      new Option("--object-order <order>", "of the objects in the answer (default: given)").choices([
        "given",
        "random",
      ]),
    )
    .addOption(
      new Option("--json-answers <form>", "how answers that are JSON are written (default: they are mistakes)").choices(
        ["tags", "json"],
      ),
    )
    .option("--max-answer-tokens <n>", "longer answers are mistakes", wholeNumber(1));
}

/** Adds the options that say what data to read, and what to ask about it. */
export function datasetOptions(command: Command): Command {
  return command
    .addOption(new Option("--format <name>", "default: by the files").choices(["jsonl", "csv", "coco", "voc", "yolo"]))
    .option("--images <folder>", "where the pictures are (default: by the habits of the format)")
    .option("--split <name>", "part of the data (default: train)")
    .addOption(
      new Option("--first-pixel <n>", "from what Pascal VOC counts pixels (default: 1)")
        .choices(["0", "1"])
        .argParser(Number),
    )
    .addOption(
      new Option("--task <name>", "what to ask about pictures with objects (default: detect)").choices([
        "detect",
        "segment",
      ]),
    )
    .option("--classes <names>", "the classes, separated by commas (default: as the dataset names them)")
    .addOption(new Option("--class-list <which>", "classes in the prompt (default: all)").choices(["all", "present"]))
    .addOption(
      new Option("--class-order <order>", "of the classes in the prompt (default: given)").choices(["given", "random"]),
    )
    .option("--seed <n>", "decides what is random", wholeNumber(0), 0);
}

/** What the options open: the data, the processor, and how records become texts. */
export interface OpenedDataset {
  readonly dataset: Dataset;
  readonly processor: Processor;
  readonly examples: ExampleOptions;
}

/** Opens what the options name. Throws what opening throws; masks need a codec among the model's files. */
export async function openDatasetOf(
  path: string,
  options: DatasetOptions,
  signal: AbortSignal,
): Promise<OpenedDataset> {
  const {
    format,
    images,
    split,
    firstPixel,
    task,
    classes,
    classList,
    classOrder,
    objectOrder,
    seed,
    jsonAnswers,
    maxAnswerTokens,
  } = options;
  const { files } = await openFilesOf(options.model, { signal, onProgress: () => {} });
  const made = await readProcessor<never>(files, await readConfig(files, signal), { signal });
  if ("missing" in made) throw made.missing;
  const { processor } = made;
  const codec = task === "segment" ? await maskCodecOf(files)() : undefined;
  const dataset = await openDataset(path, { format, images, split, firstPixel: firstPixel as 0 | 1 | undefined });
  return {
    dataset,
    processor,
    examples: {
      task,
      classes: classes?.split(",").map((name) => name.trim()),
      classList,
      classOrder,
      objectOrder,
      seed,
      json: jsonAnswers,
      maxAnswerTokens,
      countTokens: (text) => processor.tokenizer.encode(text).length,
      encodeMasks: codec && ((objects) => encodeSegments(codec, objects)),
    },
  };
}
