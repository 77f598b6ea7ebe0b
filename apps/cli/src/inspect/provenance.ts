import { basename, dirname } from "node:path";
import type { ModelFiles } from "@paligemma/weights";

/** What a checkpoint was made for, as far as its names tell. */
export interface Provenance {
  /** "pretrained" ones are meant to be fine-tuned; "mix" ones take every task; "fine-tuned" ones do what they were taught. */
  readonly taskFamily: "pretrained" | "mix" | "fine-tuned" | "unknown";
  /** Of Google's fine-tuned checkpoints: the data set, "vqav2" or "docci"; else null. */
  readonly task: string | null;
  /** Where that stands; null where nothing says it. */
  readonly taskFrom: "name" | "config.json" | "model card" | null;
  /** The licence as the model card names it, or "unknown". */
  readonly license: string;
  readonly licenseFrom: "model card" | "name" | "package" | null;
}

/** google/paligemma-3b-mix-224, models--google--paligemma2-3b-ft-docci-448, paligemma-3b-pt-224.npz, … */
const RELEASED = /paligemma2?-\d+b-(pt|mix|ft-([a-z0-9_-]+?)(?=-(?:224|448|896)(?!\d)|[^a-z0-9_-]|$))(?![a-z0-9])/i;
const GOOGLES = /^google\/paligemma|models--google--paligemma/;
const FAMILIES = { pt: "pretrained", mix: "mix" } as const;
/** Model cards are read up to here: what is looked for stands at their beginning. */
const MAX_CARD_BYTES = 65_536;

/** What names, `config.json` and model card say; `name` is what the user typed. */
export async function provenanceOf(
  name: string,
  files: ModelFiles,
  configJson: unknown,
  signal: AbortSignal,
): Promise<Provenance> {
  const card = await readCard(files, signal);
  const ownName = (configJson as { readonly _name_or_path?: unknown } | undefined)?._name_or_path;
  const known = [
    ["name", released(name) ?? released(lastParts(files.name))],
    ["config.json", typeof ownName === "string" ? released(ownName) : undefined],
    ["model card", card.baseModel === undefined ? undefined : fineTuned(card.baseModel)],
  ] as const;
  const [taskFrom, found] = known.find(([, value]) => value !== undefined) ?? [null, undefined];
  const license = card.license ?? (GOOGLES.test(name) || GOOGLES.test(files.name) ? "gemma" : undefined);
  return {
    taskFamily: found?.taskFamily ?? "unknown",
    task: found?.task ?? null,
    taskFrom,
    license: license ?? "unknown",
    licenseFrom: license === undefined ? null : card.license === undefined ? "name" : "model card",
  };
}

type Found = Pick<Provenance, "taskFamily" | "task">;

function released(name: string): Found | undefined {
  const [, kind, task] = RELEASED.exec(name) ?? [];
  if (kind === undefined) return undefined;
  if (task !== undefined) return { taskFamily: "fine-tuned", task };
  return { taskFamily: FAMILIES[kind.toLowerCase() as keyof typeof FAMILIES], task: null };
}

/** A model card that names a base model is the card of something that was made from it. */
function fineTuned(baseModel: string): Found | undefined {
  return /paligemma/i.test(baseModel) ? { taskFamily: "fine-tuned", task: null } : undefined;
}

/** Of a path, the folder and what it lies in: snapshots of the Hub's cache are called by their commit. */
function lastParts(path: string): string {
  const parents = [dirname(dirname(path)), dirname(path), path].map((part) => basename(part));
  return parents.join("/");
}

async function readCard(
  files: ModelFiles,
  signal: AbortSignal,
): Promise<{ readonly license?: string; readonly baseModel?: string }> {
  if (!files.paths.has("README.md")) return {};
  const source = await files.open("README.md", signal);
  const text = new TextDecoder().decode(await source.read(0, Math.min(source.size, MAX_CARD_BYTES), signal));
  const header = /^---\r?\n([\s\S]*?)\r?\n---/.exec(text)?.[1];
  if (header === undefined) return {};
  const value = (key: string): string | undefined =>
    new RegExp(`^${key}:[ \\t]*(?:\\r?\\n[ \\t]*-[ \\t]*)?["']?([^\\s"'\\[\\]]+)`, "m").exec(header)?.[1];
  const [license, licenseName, baseModel] = [value("license"), value("license_name"), value("base_model")];
  const named = license === "other" ? (licenseName ?? license) : license;
  return { ...(named !== undefined && { license: named }), ...(baseModel !== undefined && { baseModel }) };
}
