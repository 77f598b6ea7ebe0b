import { Option, type Command } from "commander";
import { convertModel, type Conversion, type Converted } from "../convert-model.ts";
import { interruptible } from "../interruption.ts";
import { plainCommand } from "../model-command.ts";
import { wholeNumber } from "../numbers.ts";
import { progressBar } from "../progress.ts";
import { print, printJson } from "../show.ts";

interface ConvertOptions {
  readonly out: string;
  readonly to?: "transformers.js";
  readonly adapter?: string;
  readonly like?: string;
  readonly dtype?: NonNullable<Conversion["dtype"]>;
  readonly shardGb?: number;
  readonly json?: boolean;
}

/** `paligemma convert <model>` */
export function convertCommand(): Command {
  return plainCommand("convert", "write a model in another format or precision, or with an adapter in it", [
    "convert google/paligemma-3b-pt-224 --out half --dtype bfloat16",
    "convert google/paligemma-3b-pt-224 --adapter path/to/lora --out merged",
    "convert paligemma-3b-pt-224.f16.npz --like google/paligemma-3b-pt-224 --out hf",
    "convert path/to/checkpoint --out big_vision.npz",
    "convert google/paligemma-3b-mix-224 --to transformers.js --out export",
  ])
    .argument(
      "<model>",
      "folder, owner/name[@revision] on the Hugging Face Hub, a .safetensors, or an .npz of big_vision",
    )
    .requiredOption("--out <path>", "folder for safetensors or an export, or a file that ends in .npz")
    .addOption(new Option("--to <name>", "write ONNX files that transformers.js runs").choices(["transformers.js"]))
    .option("--adapter <name>", "LoRA adapter to merge: folder, or owner/name on the Hub")
    .option("--like <name>", "model to take config.json and the tokenizer from")
    .addOption(
      new Option("--dtype <name>", "precision of the result (default: as it is)").choices([
        "float32",
        "float16",
        "bfloat16",
      ]),
    )
    .option("--shard-gb <n>", "size of a file at most, in GB (default: 5; of an export 1.9)", wholeNumber(1))
    .option("--json", "print one JSON document")
    .action(async (model: string, { shardGb, json, out, to, adapter, like, dtype }: ConvertOptions) => {
      await interruptible(async (signal) => {
        const conversion: Conversion = {
          model,
          out,
          ...(shardGb !== undefined && { maxShardBytes: shardGb * 1e9 }),
          ...(to !== undefined && { to }),
          ...(adapter !== undefined && { adapter }),
          ...(like !== undefined && { like }),
          ...(dtype !== undefined && { dtype }),
        };
        const converted = await convert(conversion, signal);
        if (json === true) printJson({ model, ...converted });
        else print(show(converted));
      });
    });
}

async function convert(conversion: Conversion, signal: AbortSignal): Promise<Converted> {
  using bar = progressBar();
  return await convertModel(conversion, { signal, onProgress: bar.onProgress });
}

function show({ out, files, tensors, bytes, untied, adapter }: Converted): string {
  const where = out.endsWith(".npz") ? out : `${out}: ${files.join(", ")}`;
  return [
    `${tensors} tensors, ${(bytes / 1e6).toFixed(1)} MB, in ${where}`,
    ...(untied ? [`${adapter} changes the token table or the output layer; the two are separate tensors now`] : []),
  ].join("\n");
}
