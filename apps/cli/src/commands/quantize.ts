import { Option, type Command } from "commander";
import {
  BLOCK_SIZES,
  DEFAULT_VISION,
  QUANTIZED_DTYPES,
  VISION_FORMATS,
  type QuantizedDType,
  type VisionFormat,
} from "@paligemma/quantization";
import { interruptible } from "../interruption.ts";
import { plainCommand } from "../model-command.ts";
import { wholeNumber } from "../numbers.ts";
import { progressBar } from "../progress.ts";
import { quantizeModel, type Quantization, type Quantized } from "../quantize-model.ts";
import { print, printJson } from "../show.ts";

interface QuantizeFlags {
  readonly dtype: QuantizedDType;
  readonly out: string;
  readonly blockSize?: string;
  readonly zeroPoints?: boolean;
  readonly vision: VisionFormat;
  readonly threads?: number;
  readonly calibrate?: string;
  readonly calibrateLimit: number;
  readonly json?: boolean;
}

/** `paligemma quantize <model>` */
export function quantizeCommand(): Command {
  return plainCommand("quantize", "write a model in 8 or 4 bits, smaller and faster on a CPU", [
    "quantize google/paligemma2-3b-mix-224 --dtype int8 --out bundle",
    "quantize path/to/checkpoint --dtype int4 --block-size 32 --out bundle",
    "quantize path/to/checkpoint --dtype int4 --calibrate pictures --out bundle",
    "caption picture.jpg --model bundle",
  ])
    .argument("<model>", "folder, or owner/name[@revision] on the Hugging Face Hub")
    .addOption(
      new Option("--dtype <name>", "int8, int4, or mixed: perceptrons in 4 bits, the rest in 8")
        .choices(QUANTIZED_DTYPES)
        .makeOptionMandatory(),
    )
    .requiredOption("--out <folder>", "where the quantised model goes; must not exist")
    .addOption(
      new Option("--block-size <n>", "numbers that share a scale (default: 64 in 4 bits, in 8 a whole row)").choices(
        BLOCK_SIZES.map(String),
      ),
    )
    .option("--zero-points", "give each block a zero point, for weights that lie to one side of 0")
    .addOption(
      new Option(
        "--vision <name>",
        "what the vision encoder becomes; keep leaves half precision as it is, smaller and slower to load",
      )
        .choices(VISION_FORMATS)
        .default(DEFAULT_VISION),
    )
    .option("--calibrate <path>", "round for what the model meets in these pictures, or in this training data")
    .option("--calibrate-limit <n>", "pictures or records that are looked at", wholeNumber(1), 64)
    .option("--threads <n>", "threads that compute (default: one per core)", wholeNumber(1, 1024))
    .option("--json", "print one JSON document")
    .action(async (model: string, { json, blockSize, zeroPoints, ...flags }: QuantizeFlags) => {
      await interruptible(async (signal) => {
        const made = await quantize(
          {
            ...flags,
            model,
            ...(blockSize !== undefined && { blockSize: Number(blockSize) }),
            ...(zeroPoints !== undefined && { zeroPoints }),
          },
          signal,
        );
        if (json === true) printJson({ model, ...made });
        else print(show(made));
      });
    });
}

async function quantize(quantization: Quantization, signal: AbortSignal): Promise<Quantized> {
  using bar = progressBar();
  return await quantizeModel(quantization, { signal, onProgress: bar.onProgress });
}

function show({ out, bytes, bytesBefore, matrices }: Quantized): string {
  const megabytes = (n: number): string => `${(n / 1e6).toFixed(1)} MB`;
  const worst = matrices.reduce((a, b) => (a.relativeError > b.relativeError ? a : b));
  const counts = ([8, 4] as const)
    .map((bits) => ({ bits, count: matrices.filter((matrix) => matrix.bits === bits).length }))
    .filter(({ count }) => count > 0);
  return [
    `${out}: ${megabytes(bytes)} of tensors, before ${megabytes(bytesBefore)}`,
    `${counts.map(({ bits, count }) => `${count} matrices in ${bits} bits`).join(", ")}; all other numbers as they were`,
    `largest relative error ${worst.relativeError.toPrecision(2)}, of ${worst.name}`,
  ].join("\n");
}
