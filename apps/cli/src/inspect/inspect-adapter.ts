import { sizeOf } from "@paligemma/core";
import { openAdapter, type ModelFiles } from "@paligemma/weights";
import { provenanceOf, type Provenance } from "./provenance.ts";

/** What a LoRA adapter is. */
export interface AdapterInspection {
  readonly format: "adapter";
  readonly kind: "LoRA" | "rsLoRA" | "DoRA";
  readonly rank: number;
  readonly alpha: number;
  /** The model that it says it was trained on, or null. */
  readonly baseModel: string | null;
  /** Layers with a low-rank update, by network. */
  readonly layers: { readonly vision: number; readonly projector: number; readonly text: number };
  /** Names of layers without their numbers: "q_proj", "fc1". */
  readonly targets: readonly string[];
  /** Tensors that were trained whole. */
  readonly replaced: readonly string[];
  /** Numbers of all its tensors. */
  readonly parameters: number;
  readonly bytes: number;
  readonly license: string;
  readonly licenseFrom: Provenance["licenseFrom"];
}

/** True for the folder of an adapter. */
export function isAdapter({ paths }: ModelFiles): boolean {
  return paths.has("adapter_config.json");
}

/** Reads an adapter's configuration and header. Throws `weights/adapter` for what is not read. */
export async function inspectAdapter(name: string, files: ModelFiles, signal: AbortSignal): Promise<AdapterInspection> {
  const { config, updates, replacements } = await openAdapter(files, { signal });
  const { license, licenseFrom } = await provenanceOf(name, files, undefined, signal);
  const weights = [...updates.keys()];
  const count = (prefix: string): number => weights.filter((weight) => weight.startsWith(prefix)).length;
  const tensors = [
    ...[...updates.values()].flatMap(({ a, b, magnitude, bias }) => [a, b, magnitude, bias]),
    ...replacements.values(),
  ].filter((ref) => ref !== undefined);
  return {
    format: "adapter",
    kind: config.dora ? "DoRA" : config.rsLora ? "rsLoRA" : "LoRA",
    rank: config.rank,
    alpha: config.alpha,
    baseModel: config.baseModel ?? null,
    layers: { vision: count("vision_tower"), projector: count("multi_modal"), text: count("language_model") },
    targets: [...new Set(weights.map((weight) => weight.split(".").at(-2)!))].toSorted(),
    replaced: [...replacements.keys()].toSorted(),
    parameters: tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    bytes: tensors.reduce((sum, { start, end }) => sum + end - start, 0),
    license,
    licenseFrom,
  };
}
