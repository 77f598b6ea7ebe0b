import { Command, Option } from "commander";
import { QUANTIZED_DTYPES, type QuantizedDType } from "@paligemma/quantization";
import { wholeNumber } from "./numbers.ts";

/** Options of every command that asks a model. */
export interface ModelOptions {
  readonly model?: string;
  readonly device: "cpu" | "cuda";
  readonly threads?: number;
  readonly dtype?: QuantizedDType;
  readonly cache?: string;
  readonly profile?: boolean;
  readonly profileOut?: string;
  readonly maxNewTokens?: number;
  readonly batchSize: number;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

/** A command with `--verbose`, a summary and examples, each written without the leading "paligemma". */
export function plainCommand(name: string, summary: string, examples: readonly string[]): Command {
  const lines = examples.map((example) => `  $ paligemma ${example}`);
  return new Command(name)
    .summary(summary)
    .description(summary)
    .option("--verbose", "show where an error came from")
    .addHelpText("after", `\n${examples.length === 1 ? "Example" : "Examples"}:\n${lines.join("\n")}`);
}

/** A command with all options of `ModelOptions`. */
export function modelCommand(name: string, summary: string, examples: readonly string[]): Command {
  return plainCommand(name, summary, examples)
    .option(
      "--model <name>",
      "folder, or owner/name[@revision] on the Hugging Face Hub (default: the embedded tiny-shapes)",
    )
    .addOption(new Option("--device <name>", "where the model runs").choices(["cpu", "cuda"]).default("cpu"))
    .option("--threads <n>", "threads of the CPU (default: one per core)", wholeNumber(1))
    .addOption(
      new Option("--dtype <name>", "quantise the weights at the first use, and keep them").choices(QUANTIZED_DTYPES),
    )
    .option("--cache <folder>", "with --dtype: where they are kept (default: $PALIGEMMA_CACHE or ~/.cache/paligemma)")
    .option("--profile", "say on the standard error where the time went, by graph and operator")
    .option("--profile-out <file>", "write the same as JSON")
    .option("--max-new-tokens <n>", "length of an answer at most (default: 256)", wholeNumber(1))
    .option("--batch-size <n>", "pictures that are answered together", wholeNumber(1), 8)
    .option("--json", "print one JSON document");
}
