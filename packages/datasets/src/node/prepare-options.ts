import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { PaliGemmaError, unknownKeys, type OnProgress } from "@paligemma/core";
import type { Processor } from "@paligemma/processor";
import { shown } from "../problems.ts";
import { checkExampleOptions, EXAMPLE_OPTIONS, type ExampleOptions } from "../write-example.ts";
import type { Dataset } from "./dataset.ts";
import type { PixelDtype } from "./shard-writer.ts";
import { withClasses } from "./validate-dataset.ts";

/** What to make of a dataset. */
export interface PrepareOptions extends ExampleOptions {
  /** A new or empty folder, or one in which the same work was cut off. */
  readonly out: string;
  /** Tokens and pixels; answers are counted with its tokenizer. */
  readonly processor: Processor;
  /** `"safetensors"` (default) writes model inputs in shards, `"jsonl"` image, prefix and suffix line by line. */
  readonly output?: "safetensors" | "jsonl" | undefined;
  /** The most tokens of a row, its image tokens included; longer records are bad ones. */
  readonly maxLength?: number | undefined;
  /** Bytes of the pictures of one shard in float32, which is what is held in memory; 64 MiB when absent. */
  readonly shardBytes?: number | undefined;
  /** Number format of the pictures; `"float32"` when absent. */
  readonly dtype?: PixelDtype | undefined;
  /** `"right"` when absent: rows of other shards are longer, and pads are cheap to add there. */
  readonly paddingSide?: "left" | "right" | undefined;
  /** Threads that decode pictures; one per processor core when absent. */
  readonly workers?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The options with nothing left open. */
export interface PrepareSettings {
  readonly out: string;
  readonly processor: Processor;
  readonly output: "safetensors" | "jsonl";
  readonly maxLength: number | undefined;
  readonly shardBytes: number;
  readonly dtype: PixelDtype;
  readonly paddingSide: "left" | "right";
  readonly workers: number;
  readonly examples: ExampleOptions;
  readonly signal: AbortSignal | undefined;
  /** Digest of everything that decides the bytes of the output. */
  readonly digest: string;
}

const OWN = [
  "out",
  "processor",
  "output",
  "maxLength",
  "shardBytes",
  "dtype",
  "paddingSide",
  "workers",
  "onProgress",
  "signal",
];
const DEFAULT_SHARD_BYTES = 64 * 2 ** 20;

/** Checks the options; throws `datasets/option`. */
export async function readPrepareOptions(dataset: Dataset, options: PrepareOptions): Promise<PrepareSettings> {
  const unknown = unknownKeys(options, [...OWN, ...EXAMPLE_OPTIONS]);
  if (unknown.length > 0)
    throw new PaliGemmaError(
      "datasets/option",
      `prepare has no option ${unknown.map(({ key, meant }) => (meant ? `${key} (did you mean ${meant}?)` : key)).join(", ")}`,
    );
  const {
    out,
    processor,
    output = "safetensors",
    maxLength,
    shardBytes = DEFAULT_SHARD_BYTES,
    dtype = "float32",
    paddingSide = "right",
    workers = availableParallelism(),
    signal,
  } = options;
  const choices = [
    ["output", output, ["safetensors", "jsonl"]],
    ["dtype", dtype, ["float32", "float16", "bfloat16"]],
    ["paddingSide", paddingSide, ["left", "right"]],
  ] as const;
  for (const [name, value, allowed] of choices) {
    if (!(allowed as readonly string[]).includes(value))
      throw new PaliGemmaError("datasets/option", `${name} is ${shown(value)}; it must be ${allowed.join(" or ")}`);
  }
  for (const [name, value] of Object.entries({ shardBytes, workers, maxLength })) {
    if (value !== undefined && !(Number.isInteger(value) && value >= 1))
      throw new PaliGemmaError("datasets/option", `${name} is ${String(value)}; it must be a whole number from 1`);
  }
  if (output === "safetensors" && !processor.config.doResize)
    throw new PaliGemmaError(
      "datasets/option",
      "the processor does not resize, so that pictures of one shard differ in size; leave doResize on",
    );
  const given = Object.fromEntries(
    EXAMPLE_OPTIONS.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
  ) as ExampleOptions;
  const classed = await withClasses(dataset, given, signal);
  const examples: ExampleOptions = {
    countTokens: (text: string) => processor.tokenizer.encode(text).length,
    ...classed,
  };
  checkExampleOptions(examples);
  const { encodeMasks, countTokens: _count, ...decisive } = examples;
  const decided = [
    1,
    dataset.format,
    await dataset.fingerprint(),
    output,
    dtype,
    paddingSide,
    shardBytes,
    maxLength,
    decisive,
    encodeMasks !== undefined,
    processor.toJSON(),
    digestVocabulary(processor),
  ];
  const digest = createHash("sha256").update(JSON.stringify(decided)).digest("hex");
  return { out, processor, output, maxLength, shardBytes, dtype, paddingSide, workers, examples, signal, digest };
}

function digestVocabulary({ tokenizer }: Processor): string {
  const hash = createHash("sha256");
  for (let id = 0; id < tokenizer.size; id++) hash.update(`${tokenizer.tokenOf(id)}\n`);
  return hash.digest("hex");
}
