import { existsSync, readdirSync, statSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { configToJson, formatConfig, parseConfig, releasedTensors, type PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import { openFiles } from "@paligemma/hub/node";
import { writeExport } from "@paligemma/onnx/node";
import {
  canonicalNames,
  castTensor,
  checkpointOf,
  matchTensors,
  mergeAdapter,
  openAdapter,
  openModel,
  toBigVision,
  type FloatDType,
  type ModelFiles,
} from "@paligemma/weights";
import { writeNpz, writeShards } from "@paligemma/weights/node";
import { COMPANIONS, HEAD, guessConfig, openFilesOrFile } from "./single-file.ts";

/** What to make of a model. */
export interface Conversion {
  /** A folder, a repository of the Hub, a `.safetensors` or an `.npz`. */
  readonly model: string;
  /** A folder for safetensors or an export, or a file that ends in `.npz`. */
  readonly out: string;
  /** Write ONNX files for transformers.js, not weights alone. */
  readonly to?: "transformers.js";
  /** A LoRA adapter to merge. */
  readonly adapter?: string;
  /** Another model to take `config.json` and the tokenizer from, for files that come without. */
  readonly like?: string;
  /** Precision of the result. Default: as it is. */
  readonly dtype?: FloatDType;
  /** Bytes of a file at most, unless one tensor has more. Default: 5 GB, of an export 1.9 GB. */
  readonly maxShardBytes?: number;
}

/** What was made. */
export interface Converted {
  readonly out: string;
  readonly files: readonly string[];
  readonly tensors: number;
  readonly bytes: number;
  /** The adapter that was merged. */
  readonly adapter: string | null;
  /** True where the output layer became a tensor of its own. */
  readonly untied: boolean;
}

/** Released tokenizers have 34 MB. */
const MAX_COMPANION_BYTES = 2 ** 27;

const MAX_SHARD_BYTES = 5e9;

/**
 * Converts a model: names and shapes to the released ones, an adapter merged, another precision, safetensors, big_vision's npz
 * or ONNX files for transformers.js.
 * Tensors are computed while they are written, one at a time. Refuses to write over anything.
 */
export async function convertModel(
  conversion: Conversion,
  options: { readonly signal: AbortSignal; readonly onProgress: OnProgress },
): Promise<Converted> {
  const { out, to, adapter: adapterName, like, dtype, maxShardBytes } = conversion;
  refuseToOverwrite(out);
  refuseContradictions(conversion);
  const files = await openFilesOrFile(conversion.model, options);
  const companions = like === undefined ? files : await openFilesOrFile(like, options);
  const json = companions.paths.has("config.json") ? await readJson(companions, options.signal) : undefined;
  const given = json && parseConfig(json);
  const opened = canonicalNames(
    await openModel(files, { signal: options.signal, ...(given ? { vocabSize: given.text.vocabSize } : {}) }),
  );
  const config = given ?? guessConfig(opened, files.name);
  matchTensors(opened, releasedTensors(config), { optional: [HEAD] });

  const adapter =
    adapterName === undefined ? undefined : await openAdapter(await openFiles(adapterName, options), options);
  const { checkpoint, untied } = adapter ? mergeAdapter(opened, adapter) : { checkpoint: opened, untied: false };
  const made = withTie(config, config.text.tieWordEmbeddings && !untied);
  const refs = [...checkpoint.tensors.values()]
    .filter(({ name }) => name !== HEAD || !made.text.tieWordEmbeddings)
    .map((ref) => (dtype && to === undefined ? castTensor(ref, dtype) : ref));
  const result = { out, tensors: refs.length, adapter: adapterName ?? null, untied };

  if (out.endsWith(".npz")) {
    await writeNpz(out, toBigVision(checkpointOf(refs), made).tensors.values(), options);
    return { ...result, files: [basename(out)], bytes: statSync(out).size };
  }
  if (to === "transformers.js") {
    const { files: written, bytes } = await writeExport(out, {
      config: made,
      checkpoint: checkpointOf(refs),
      ...(json && { configJson: json }),
      ...(dtype && { dtype: dtype as "float32" | "float16" }),
      ...(maxShardBytes !== undefined && { maxFileBytes: maxShardBytes }),
      ...options,
    });
    await copyCompanions(companions, out, options.signal);
    return { ...result, files: written, bytes };
  }
  const names = await writeShards(out, refs, { maxShardBytes: maxShardBytes ?? MAX_SHARD_BYTES, ...options });
  await copyCompanions(companions, out, options.signal);
  await writeFile(join(out, "config.json"), formatConfig(adjusted(json ?? configToJson(made), made, dtype)));
  return { ...result, files: names, bytes: names.reduce((sum, name) => sum + statSync(join(out, name)).size, 0) };
}

/** An export is a folder, and no provider of onnxruntime computes in bfloat16 everywhere. */
function refuseContradictions({ out, to, dtype }: Conversion): void {
  if (to === undefined) return;
  const wrong = out.endsWith(".npz") ? "--out names an .npz" : dtype === "bfloat16" ? "--dtype is bfloat16" : undefined;
  if (wrong === undefined) return;
  throw new PaliGemmaError(
    "cli/option",
    `${wrong}, and --to ${to} writes a folder of ONNX files in float32 or float16, or as a quantised bundle has them`,
  );
}

function refuseToOverwrite(out: string): void {
  if (!existsSync(out)) return;
  if (!out.endsWith(".npz") && statSync(out).isDirectory() && readdirSync(out).length === 0) return;
  throw new PaliGemmaError("cli/exists", `${out} is there already; name a place that is free, or remove it`);
}

function withTie(config: PaliGemmaConfig, tieWordEmbeddings: boolean): PaliGemmaConfig {
  return { ...config, text: { ...config.text, tieWordEmbeddings } };
}

/** The `config.json` of the result: as it was, but for what changed. */
function adjusted(
  json: Readonly<Record<string, unknown>>,
  config: PaliGemmaConfig,
  dtype: FloatDType | undefined,
): Readonly<Record<string, unknown>> {
  const renamed = "dtype" in json ? "dtype" : "torch_dtype";
  return { ...json, tie_word_embeddings: config.text.tieWordEmbeddings, ...(dtype ? { [renamed]: dtype } : {}) };
}

async function readJson(files: ModelFiles, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await readCompanion(files, "config.json", signal);
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Readonly<Record<string, unknown>>;
  } catch (cause) {
    throw new PaliGemmaError("cli/config", `config.json of ${files.name} is no JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
}

async function copyCompanions(files: ModelFiles, out: string, signal: AbortSignal): Promise<void> {
  await mkdir(out, { recursive: true });
  for (const path of COMPANIONS) {
    if (path !== "config.json" && files.paths.has(path))
      await writeFile(join(out, path), await readCompanion(files, path, signal));
  }
}

async function readCompanion(files: ModelFiles, path: string, signal: AbortSignal): Promise<Uint8Array> {
  const source = await files.open(path, signal);
  if (source.size <= MAX_COMPANION_BYTES) return source.read(0, source.size, signal);
  throw new PaliGemmaError(
    "cli/config",
    `${source.name} has ${source.size} bytes, at most ${MAX_COMPANION_BYTES} are read of a ${path}`,
  );
}
