import { PaliGemmaError } from "@paligemma/core";
import type { GraphModel, Port, Target } from "@paligemma/graph";
import type { ByteSource, ModelFiles } from "@paligemma/weights";
import { PARTS, SUFFIXES, partPath, type ExportDType, type Part } from "../layout.ts";
import { readOnnx } from "./read-onnx.ts";

/** An export of others or of ours, ready to be compiled. */
export interface OpenedExport {
  readonly dtype: ExportDType;
  readonly graphs: Readonly<Record<Part, GraphModel>>;
}

/** Which of the precisions to open, for which backend. */
export interface OpenExportOptions {
  readonly target: Target;
  /** Default: the only one there, or the one that `config.json` names under `transformers.js_config`. */
  readonly dtype?: ExportDType;
  readonly signal?: AbortSignal;
}

/** Inputs and outputs that each part must have, and inputs that it may have. */
const PORTS: Readonly<
  Record<
    Part,
    { readonly inputs: readonly string[]; readonly outputs: readonly string[]; readonly optional: readonly string[] }
  >
> = {
  vision_encoder: { inputs: ["pixel_values"], outputs: ["image_features"], optional: [] },
  embed_tokens: { inputs: ["input_ids"], outputs: ["inputs_embeds"], optional: [] },
  decoder_model_merged: {
    inputs: ["inputs_embeds"],
    outputs: ["logits"],
    optional: ["attention_mask", "position_ids", "num_logits_to_keep"],
  },
};
const CACHE = /^past_key_values\.(\d+)\.(key|value)$/;
/** Largest `config.json` that is read; released ones have a few kB. */
const MAX_CONFIG_BYTES = 2 ** 20;

/** The precisions in which all three parts are among these files. */
export function exportedDTypes({ paths }: ModelFiles): readonly ExportDType[] {
  return (Object.keys(SUFFIXES) as ExportDType[]).filter((dtype) =>
    PARTS.every((part) => paths.has(partPath(part, dtype))),
  );
}

/** True where any part of an export is among these files. */
export function looksLikeExport({ paths }: ModelFiles): boolean {
  return [...paths].some((path) => PARTS.some((part) => path.startsWith(`onnx/${part}`)));
}

/**
 * Opens the three parts of an export made for transformers.js. Throws `onnx/missing` where one is not there, `onnx/option`
 * where it is not clear which precision is meant, `onnx/inputs` where a part wants or gives something else, and what
 * `readOnnx` throws.
 */
export async function openExport(files: ModelFiles, options: OpenExportOptions): Promise<OpenedExport> {
  const { target, signal } = options;
  const dtype = await chooseDType(files, options);
  const read = async (part: Part): Promise<GraphModel> => {
    const source = await files.open(partPath(part, dtype), signal);
    const data = new Map<string, Promise<ByteSource>>();
    const open = (location: string): Promise<ByteSource> => {
      const known = data.get(location) ?? openData(files, source, location, signal);
      data.set(location, known);
      return known;
    };
    const graph = await readOnnx(part, source, { target, open, ...(signal && { signal }) });
    checkPorts(part, graph, source.name);
    return graph;
  };
  const [vision_encoder, embed_tokens, decoder_model_merged] = await Promise.all(PARTS.map(read));
  return {
    dtype,
    graphs: {
      vision_encoder: vision_encoder!,
      embed_tokens: embed_tokens!,
      decoder_model_merged: decoder_model_merged!,
    },
  };
}

async function chooseDType(files: ModelFiles, { dtype, signal }: OpenExportOptions): Promise<ExportDType> {
  const there = exportedDTypes(files);
  if (dtype !== undefined) {
    const missing = PARTS.map((part) => partPath(part, dtype)).filter((path) => !files.paths.has(path));
    if (missing.length === 0) return dtype;
    throw new PaliGemmaError(
      "onnx/missing",
      `${files.name} has no ${missing.join(", ")}; it is exported in ${there.join(", ") || "no precision as a whole"}`,
    );
  }
  if (there.length === 1) return there[0]!;
  if (there.length === 0) {
    const paths = PARTS.map((part) => partPath(part, "fp32"));
    const missing = paths.filter((path) => !files.paths.has(path));
    throw new PaliGemmaError(
      "onnx/missing",
      `${files.name} is no whole export in any of ${Object.keys(SUFFIXES).join(", ")}; in fp32 it lacks ${missing.join(", ")}`,
    );
  }
  const named = await namedDType(files, signal);
  if (named !== undefined && there.includes(named)) return named;
  throw new PaliGemmaError(
    "onnx/option",
    `${files.name} is exported in ${there.join(", ")}; say which by { exportDType }`,
  );
}

/** `transformers.js_config.dtype` of `config.json`, where it is one word. */
async function namedDType(files: ModelFiles, signal: AbortSignal | undefined): Promise<ExportDType | undefined> {
  if (!files.paths.has("config.json")) return undefined;
  const source = await files.open("config.json", signal);
  if (source.size > MAX_CONFIG_BYTES) return undefined;
  const json: unknown = JSON.parse(new TextDecoder().decode(await source.read(0, source.size, signal)));
  const own = (json as Record<string, { readonly dtype?: unknown } | undefined>)["transformers.js_config"];
  return typeof own?.dtype === "string" && own.dtype in SUFFIXES ? (own.dtype as ExportDType) : undefined;
}

/** Weights lie beside their model, wherever the file says that they lie. */
async function openData(
  files: ModelFiles,
  model: ByteSource,
  location: string,
  signal: AbortSignal | undefined,
): Promise<ByteSource> {
  const path = `onnx/${location}`;
  if (location === "" || location.includes("..") || /^[\\/]|^[a-z]+:/i.test(location))
    throw new PaliGemmaError(
      "onnx/format",
      `${model.name} says that its weights lie at ${JSON.stringify(location.slice(0, 100))}, which is not beside it`,
    );
  if (files.paths.has(path)) return await files.open(path, signal);
  throw new PaliGemmaError(
    "onnx/missing",
    `${model.name} has its weights in ${path}, which ${files.name} does not have; download or export it again`,
  );
}

function checkPorts(part: Part, { inputs, outputs }: GraphModel, name: string): void {
  const known = PORTS[part];
  const names = (ports: readonly Port[]): readonly string[] => ports.map((port) => port.name);
  const caches = names(inputs).filter((input) => CACHE.test(input));
  const wrong = [
    ...known.inputs.filter((input) => !names(inputs).includes(input)).map((input) => `takes no ${input}`),
    ...known.outputs.filter((output) => !names(outputs).includes(output)).map((output) => `gives no ${output}`),
    ...names(inputs)
      .filter((input) => ![...known.inputs, ...known.optional, ...caches].includes(input))
      .map((input) => `wants ${input}`),
    ...caches
      .map((input) => input.replace("past_key_values", "present"))
      .filter((output) => !names(outputs).includes(output))
      .map((output) => `gives no ${output}`),
    ...(part === "decoder_model_merged" && caches.length === 0 ? ["takes no past_key_values"] : []),
  ];
  if (wrong.length === 0) return;
  throw new PaliGemmaError(
    "onnx/inputs",
    `${name} is no ${part} of PaliGemma as transformers.js runs it: it ${wrong.slice(0, 8).join(", ")}. Inputs are ${names(inputs).slice(0, 8).join(", ")}`,
  );
}
