import type { Command } from "commander";
import { inspectModel, type Inspection } from "../inspect-model.ts";
import { interruptible } from "../interruption.ts";
import { plainCommand } from "../model-command.ts";
import { lookAtFilesOf } from "../open-model.ts";
import { print, printJson } from "../show.ts";

/** `paligemma inspect [model]` */
export function inspectCommand(): Command {
  return plainCommand("inspect", "say what a checkpoint is, without loading it", [
    "inspect",
    "inspect path/to/checkpoint --json",
  ])
    .argument("[model]", "folder, or owner/name on the Hugging Face Hub (default: the embedded tiny-shapes)")
    .option("--model <name>", "the same as the argument")
    .option("--json", "print one JSON document")
    .action(async (model: string | undefined, options: { readonly model?: string; readonly json?: boolean }) => {
      await interruptible(async (signal) => {
        const { name, files } = await lookAtFilesOf(model ?? options.model, signal);
        const inspection = await inspectModel(files, signal);
        if (options.json === true) printJson({ model: name, ...inspection });
        else print(show(name, inspection));
      });
    });
}

function show(name: string, i: Inspection): string {
  const rows: readonly (readonly [string, string])[] = [
    ["model", name],
    ["family", `${i.family}${i.preset === null ? "" : `, the released size ${i.preset}`}`],
    ["picture", `${i.resolution} × ${i.resolution} pixels, ${i.imageTokens} tokens`],
    ["vision", `${i.vision.layers} layers of width ${i.vision.width}, ${i.vision.heads} heads`],
    [
      "text",
      `${i.text.layers} layers of width ${i.text.width}, ${i.text.heads} heads, ${grouped(i.text.vocabulary)} tokens, context ${grouped(i.text.context)}`,
    ],
    ["parameters", `${grouped(i.parameters)}${filesDiffer(i)}`],
    ["files", i.weightFiles.length === 0 ? "no weights" : i.weightFiles.join(", ")],
    [
      "stored as",
      Object.entries(i.elementTypes)
        .map(([type, bytes]) => `${type} (${size(bytes)})`)
        .join(", ") || "–",
    ],
    ...i.memory.map(({ precision, weights, cachePer1000Tokens }, n) => {
      const needs = `${precision.padEnd(9)} ${size(weights).padStart(8)} of weights, ${size(cachePer1000Tokens)} per 1000 tokens of an answer`;
      return [n === 0 ? "memory in" : "", needs] as const;
    }),
    ["problems", i.problems.length === 0 ? "none" : i.problems.join("\n").replaceAll("\n", `\n${" ".repeat(12)}`)],
  ];
  return rows.map(([title, text]) => `${title.padEnd(11)} ${text}`).join("\n");
}

function filesDiffer({ parameters, parametersInFiles }: Inspection): string {
  if (parametersInFiles === null || parametersInFiles === parameters) return "";
  return `; the files hold ${grouped(parametersInFiles)}`;
}

function grouped(n: number): string {
  return n.toLocaleString("en-US");
}

function size(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e3).toFixed(1)} kB`;
}
