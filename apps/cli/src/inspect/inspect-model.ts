import { parameterCount, parseConfig, presets, releasedTensors, type PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError, isPaliGemmaError, sizeOf } from "@paligemma/core";
import { looksLikeExport } from "@paligemma/onnx";
import {
  canonicalNames,
  findQuantized,
  matchTensors,
  openModel,
  tensorsOf,
  weightPaths,
  type Checkpoint,
  type ModelFiles,
} from "@paligemma/weights";
import { HEAD, guessConfig } from "../single-file.ts";
import { needsOf, type Needs, type Stored } from "./devices.ts";
import { inspectExport, type ExportedPrecision } from "./inspect-export.ts";
import { provenanceOf, type Provenance } from "./provenance.ts";

/** What a checkpoint is, from its `config.json`, its model card and the headers of its weights. */
export interface Inspection extends Provenance {
  readonly format: "safetensors" | "npz" | "quantised bundle" | "ONNX export" | "no weights";
  readonly family: "PaliGemma 1" | "PaliGemma 2";
  /** The released size with exactly these networks; null for any other. */
  readonly preset: string | null;
  /** Pixels per side of the picture. */
  readonly resolution: number;
  /** Tokens that one picture becomes. */
  readonly imageTokens: number;
  readonly vision: NetworkSize;
  readonly text: NetworkSize & { readonly vocabulary: number; readonly context: number };
  /** Numbers that `config.json` asks for. */
  readonly parameters: number;
  /** Numbers that the weights hold; null without weights. */
  readonly parametersInFiles: number | null;
  /** Bytes of the weights by element type; of matrices in 4 or 8 bits as "int4" and "int8", their scales included. */
  readonly elementTypes: Readonly<Record<string, number>>;
  /** The format that most of the weights have, with quantised matrices as "int4" and "int8"; null without weights. */
  readonly precision: string | null;
  /** What each device needs. Without weights: as if they were bfloat16. */
  readonly needs: readonly Needs[];
  /** Of an ONNX export: each precision that it has; else empty. */
  readonly exports: readonly ExportedPrecision[];
  readonly weightFiles: readonly string[];
  /** What stands in the way of loading it, in words; empty when nothing does. */
  readonly problems: readonly string[];
}

/** Sizes of one network. */
export interface NetworkSize {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
}

const MAX_CONFIG_BYTES = 2 ** 20; // released ones have a few kB
const QUANTIZED = new Set(["int4", "int8"]);

/** Reads `config.json` and headers. Throws what parsing them throws; what is missing is listed in `problems`. */
export async function inspectModel(name: string, files: ModelFiles, signal: AbortSignal): Promise<Inspection> {
  const json = files.paths.has("config.json") ? await readJson(files, "config.json", signal) : undefined;
  const given = json === undefined ? undefined : parseConfig(json);
  const isExport = looksLikeExport(files) && (await weightPaths(files, signal)).length === 0;
  const opened = isExport ? undefined : await openWeights(files, given, signal);
  const checkpoint = opened && "checkpoint" in opened ? opened.checkpoint : undefined;
  const config = given ?? guessConfig(checkpoint ?? (await openModel(files, { signal })), files.name);
  const exported = isExport ? await inspectExport(files, config, signal) : { precisions: [], problems: [] };
  const { vision, text } = config;
  const elementTypes = checkpoint ? bytesByType(checkpoint, config) : (exported.precisions[0]?.elementTypes ?? {});
  const weightFiles = isExport ? exportFiles(files) : await weightPaths(files, signal);
  return {
    ...(await provenanceOf(name, files, json, signal)),
    format: formatOf(isExport, weightFiles, elementTypes),
    family: text.modelType === "gemma2" ? "PaliGemma 2" : "PaliGemma 1",
    preset: presetOf(config),
    resolution: vision.imageSize,
    imageTokens: config.numImageTokens,
    vision: { layers: vision.numHiddenLayers, width: vision.hiddenSize, heads: vision.numAttentionHeads },
    text: {
      layers: text.numHiddenLayers,
      width: text.hiddenSize,
      heads: text.numAttentionHeads,
      vocabulary: text.vocabSize,
      context: text.maxPositionEmbeddings,
    },
    parameters: parameterCount(config),
    parametersInFiles: checkpoint ? countNumbers(checkpoint, config) : null,
    elementTypes,
    precision: commonest(elementTypes),
    needs: exported.precisions[0]?.needs ?? needsOf(storedOf(checkpoint, config), config),
    exports: exported.precisions,
    weightFiles,
    problems: [
      ...(given ? [] : ["config.json is missing: the size was told by the tensors. Convert it with --like"]),
      ...fileProblems(files),
      ...exported.problems,
      ...(opened && "problem" in opened ? [opened.problem] : []),
      ...(checkpoint ? tensorProblems(checkpoint, config) : []),
    ],
  };
}

/** The format that most numbers have. */
function commonest(elementTypes: Readonly<Record<string, number>>): string | null {
  const bits = (type: string): number => Number(/\d+$/.exec(type)?.[0] ?? 8);
  const counts = Object.entries(elementTypes).map(([type, bytes]) => [type, bytes / bits(type)] as const);
  return counts.toSorted(([, a], [, b]) => b - a)[0]?.[0] ?? null;
}

function formatOf(
  isExport: boolean,
  weightFiles: readonly string[],
  elementTypes: Readonly<Record<string, number>>,
): Inspection["format"] {
  if (isExport) return "ONNX export";
  if (weightFiles.length === 0) return "no weights";
  if (Object.keys(elementTypes).some((type) => QUANTIZED.has(type))) return "quantised bundle";
  return weightFiles.some((path) => /\.npz(?:\.part\w*)?$/.test(path)) ? "npz" : "safetensors";
}

function exportFiles({ paths }: ModelFiles): readonly string[] {
  return [...paths].filter((path) => /^onnx\/.*\.onnx(?:_data(?:_\d+)?)?$/.test(path)).toSorted();
}

/** The tensors as they lie; without weights, those that the config asks for. */
function storedOf(checkpoint: Checkpoint | undefined, config: PaliGemmaConfig): readonly Stored[] {
  if (!checkpoint)
    return [...releasedTensors(config)].map(([name, shape]) => ({ name, shape, dtype: "bfloat16", packed: false }));
  const packed = quantizedParts(checkpoint, config);
  return [...checkpoint.tensors.values()]
    .filter(({ name }) => !(config.text.tieWordEmbeddings && name === HEAD))
    .map((ref) => ({ ...ref, packed: packed.has(ref.name) }));
}

async function readJson(files: ModelFiles, path: string, signal: AbortSignal): Promise<unknown> {
  const source = await files.open(path, signal);
  if (source.size > MAX_CONFIG_BYTES)
    throw new PaliGemmaError("cli/config", `${source.name} has ${source.size} bytes; a ${path} has a few thousand`);
  const bytes = await source.read(0, source.size, signal);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new PaliGemmaError("cli/config", `${source.name} is no JSON: ${(cause as Error).message}`, { cause });
  }
}

async function openWeights(
  files: ModelFiles,
  config: PaliGemmaConfig | undefined,
  signal: AbortSignal,
): Promise<{ checkpoint: Checkpoint } | { problem: string }> {
  try {
    return {
      checkpoint: canonicalNames(
        await openModel(files, { signal, ...(config && { vocabSize: config.text.vocabSize }) }),
      ),
    };
  } catch (error) {
    if (!isPaliGemmaError(error)) throw error;
    return { problem: error.message };
  }
}

function tensorProblems(checkpoint: Checkpoint, config: PaliGemmaConfig): readonly string[] {
  try {
    matchTensors(checkpoint, releasedTensors(config), { optional: [HEAD] });
    return [];
  } catch (error) {
    if (!isPaliGemmaError(error)) throw error;
    return [error.message];
  }
}

function fileProblems({ paths }: ModelFiles): readonly string[] {
  const missing = ["tokenizer.json"].filter((path) => !paths.has(path));
  return missing.map(
    (path) => `${path} is missing: the model cannot be asked in words. Copy it from the checkpoint it was made from`,
  );
}

function countNumbers(checkpoint: Checkpoint, config: PaliGemmaConfig): number {
  // A quantised matrix counts as the numbers that it stands for.
  const packed = quantizedParts(checkpoint, config);
  const whole = [...new Set(packed.values())].map(({ name }) => releasedTensors(config).get(name) ?? []);
  const refs = [...checkpoint.tensors.values()].filter(
    ({ name }) => !packed.has(name) && !(config.text.tieWordEmbeddings && name === HEAD),
  );
  return sum([...refs.map(({ shape }) => shape), ...whole].map(sizeOf));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

function bytesByType(checkpoint: Checkpoint, config: PaliGemmaConfig): Readonly<Record<string, number>> {
  const bytes: Record<string, number> = {};
  const packed = quantizedParts(checkpoint, config);
  for (const { name, dtype, start, end } of checkpoint.tensors.values()) {
    const type = packed.get(name)?.type ?? dtype;
    bytes[type] = (bytes[type] ?? 0) + end - start;
  }
  return bytes;
}

/** Every tensor that is part of a quantised matrix: its name → the matrix and its type. */
function quantizedParts(
  checkpoint: Checkpoint,
  config: PaliGemmaConfig,
): ReadonlyMap<string, { readonly name: string; readonly type: string }> {
  return new Map(
    [...releasedTensors(config).keys(), HEAD].flatMap((name) => {
      const found = findQuantized(checkpoint, name);
      const matrix = { name, type: `int${found?.bits}` };
      return found ? tensorsOf(found).map((part) => [part.name, matrix] as const) : [];
    }),
  );
}

/** Presets differ in networks only: what else a `config.json` says may differ. */
function presetOf({ vision, text }: PaliGemmaConfig): string | null {
  const networks = JSON.stringify({ vision, text });
  const found = Object.entries(presets).find(
    ([, preset]) => JSON.stringify({ vision: preset.vision, text: preset.text }) === networks,
  );
  return found?.[0] ?? null;
}
