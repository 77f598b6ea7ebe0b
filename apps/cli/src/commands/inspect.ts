import type { Command } from "commander";
import { inspectAdapter, isAdapter, type AdapterInspection } from "../inspect/inspect-adapter.ts";
import { inspectModel, type Inspection } from "../inspect/inspect-model.ts";
import { interruptible } from "../interruption.ts";
import { plainCommand } from "../model-command.ts";
import { EMBEDDED, lookAtFilesOf } from "../open-model.ts";
import { print, printJson } from "../show.ts";

/** `paligemma inspect [model]` */
export function inspectCommand(): Command {
  return plainCommand("inspect", "say what a checkpoint is, without loading it", [
    "inspect",
    "inspect path/to/checkpoint --json",
  ])
    .argument("[model]", "folder, owner/name on the Hugging Face Hub, .safetensors or .npz (default: tiny-shapes)")
    .option("--model <name>", "the same as the argument")
    .option("--json", "print one JSON document")
    .action(async (model: string | undefined, options: { readonly model?: string; readonly json?: boolean }) => {
      await interruptible(async (signal) => {
        const { name, files } = await lookAtFilesOf(model ?? options.model, signal);
        const inspection = isAdapter(files)
          ? await inspectAdapter(name, files, signal)
          : withOwnCard(name, await inspectModel(name, files, signal));
        if (options.json === true) printJson({ model: name, ...inspection });
        else print(inspection.format === "adapter" ? showAdapter(name, inspection) : show(name, inspection));
      });
    });
}

/** The embedded model is part of this project, and its model card lies beside it. */
function withOwnCard(name: string, inspection: Inspection): Inspection {
  const card = { taskFamily: "fine-tuned", task: "coloured shapes", taskFrom: "model card" } as const;
  return name === EMBEDDED ? { ...inspection, ...card, license: "mit", licenseFrom: "package" } : inspection;
}

function show(name: string, i: Inspection): string {
  return table([
    ["model", name],
    ["format", i.exports.length === 0 ? i.format : `${i.format} in ${i.exports.map(({ dtype }) => dtype).join(", ")}`],
    ["family", `${i.family}${i.preset === null ? "" : `, the released size ${i.preset}`}`],
    ["made for", madeFor(i)],
    ["licence", licence(i)],
    ["picture", `${i.resolution} × ${i.resolution} pixels, ${i.imageTokens} tokens`],
    ["vision", `${i.vision.layers} layers of width ${i.vision.width}, ${i.vision.heads} heads`],
    [
      "text",
      `${i.text.layers} layers of width ${i.text.width}, ${i.text.heads} heads, ${grouped(i.text.vocabulary)} tokens, context ${grouped(i.text.context)}`,
    ],
    ["parameters", `${grouped(i.parameters)}${filesDiffer(i)}`],
    ["files", i.weightFiles.length === 0 ? "no weights" : i.weightFiles.join(", ")],
    ["stored as", types(i.elementTypes)],
    ...i.needs.map((needs, n) => [n === 0 ? "needs" : "", deviceNeeds(needs)] as const),
    ["problems", i.problems.length === 0 ? "none" : i.problems.join("\n").replaceAll("\n", `\n${" ".repeat(12)}`)],
  ]);
}

function showAdapter(name: string, a: AdapterInspection): string {
  const { vision, projector, text } = a.layers;
  return table([
    ["model", name],
    ["format", `adapter: ${a.kind}, rank ${a.rank}, alpha ${a.alpha}`],
    ["made for", a.baseModel ?? "it does not say which model"],
    ["licence", licence(a)],
    ["changes", `${vision} layers of vision, ${projector} of the projector, ${text} of text: ${a.targets.join(", ")}`],
    ["replaces", a.replaced.join(", ") || "nothing"],
    ["parameters", `${grouped(a.parameters)} (${size(a.bytes)})`],
    ["use it", "paligemma convert <model> --adapter <this> --out merged, or loadPaliGemma(…, { adapters })"],
  ]);
}

function table(rows: readonly (readonly [string, string])[]): string {
  return rows.map(([title, text]) => `${title.padEnd(11)} ${text}`).join("\n");
}

function madeFor({ taskFamily, task, taskFrom }: Inspection): string {
  const says = taskFrom === null ? "" : ` (says the ${taskFrom})`;
  if (taskFamily === "unknown") return "unknown: neither name, config.json nor model card says it";
  if (taskFamily === "pretrained") return `fine-tuning: it is pretrained only${says}`;
  if (taskFamily === "mix") return `every task, as released for direct use${says}`;
  return `${task ?? "one task"}: it is fine-tuned${says}`;
}

const GEMMA = "gemma: the Gemma Terms of Use, https://ai.google.dev/gemma/terms";

function licence({ license, licenseFrom }: Pick<Inspection, "license" | "licenseFrom">): string {
  if (licenseFrom === null)
    return "unknown: no model card names it. What was made from Google's weights stays under the Gemma Terms of Use";
  return `${license === "gemma" ? GEMMA : license} (says the ${licenseFrom})`;
}

function types(elementTypes: Inspection["elementTypes"]): string {
  const parts = Object.entries(elementTypes).map(([type, bytes]) => `${type} (${size(bytes)})`);
  return parts.join(", ") || "–";
}

function deviceNeeds({ device, precision, weights, cachePer1000Tokens, total }: Inspection["needs"][number]): string {
  return `${device.padEnd(6)} ${precision}: ${size(total)} at least: ${size(weights)} of weights, ${size(cachePer1000Tokens)} per 1000 tokens of an answer`;
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
