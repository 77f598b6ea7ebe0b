import { parameterCount, parseConfig, presets, releasedTensors, type PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError, isPaliGemmaError, sizeOf } from "@paligemma/core";
import {
  canonicalNames,
  findQuantized,
  matchTensors,
  openModel,
  weightPaths,
  type Checkpoint,
  type ModelFiles,
} from "@paligemma/weights";

/** What a checkpoint is, from its `config.json` and the headers of its weights. */
export interface Inspection {
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
  /** Bytes per arithmetic: the weights, and the cache that 1000 tokens of one answer need. */
  readonly memory: readonly {
    readonly precision: string;
    readonly weights: number;
    readonly cachePer1000Tokens: number;
  }[];
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
const PRECISIONS = [
  ["float32", 4],
  ["bfloat16", 2],
  ["float16", 2],
] as const;
const QUANTIZED = new Set(["int4", "int8"]);
/** The token table again, which some files hold as the output layer too. */
const TIED_HEAD = "language_model.lm_head.weight";

/** Reads `config.json` and headers. Throws what parsing them throws; what is missing is listed in `problems`. */
export async function inspectModel(files: ModelFiles, signal: AbortSignal): Promise<Inspection> {
  const config = parseConfig(await readJson(files, "config.json", signal));
  const opened = await openWeights(files, signal);
  const { vision, text } = config;
  const parameters = parameterCount(config);
  const elementTypes = "checkpoint" in opened ? bytesByType(opened.checkpoint, config) : {};
  const quantized = Object.keys(elementTypes).some((type) => QUANTIZED.has(type));
  const cacheNumbers = 2 * text.numHiddenLayers * text.numKeyValueHeads * text.headDim * 1000;
  return {
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
    parameters,
    parametersInFiles: "checkpoint" in opened ? countNumbers(opened.checkpoint, config) : null,
    elementTypes,
    memory: quantized
      ? [{ precision: "as stored", weights: sum(Object.values(elementTypes)), cachePer1000Tokens: cacheNumbers * 4 }]
      : PRECISIONS.map(([precision, bytes]) => ({
          precision,
          weights: parameters * bytes,
          cachePer1000Tokens: cacheNumbers * bytes,
        })),
    weightFiles: await weightPaths(files, signal),
    problems: [
      ...fileProblems(files),
      ...("problem" in opened ? [opened.problem] : tensorProblems(opened.checkpoint, config)),
    ],
  };
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
  signal: AbortSignal,
): Promise<{ checkpoint: Checkpoint } | { problem: string }> {
  try {
    return { checkpoint: canonicalNames(await openModel(files, { signal })) };
  } catch (error) {
    if (!isPaliGemmaError(error)) throw error;
    return { problem: error.message };
  }
}

function tensorProblems(checkpoint: Checkpoint, config: PaliGemmaConfig): readonly string[] {
  try {
    matchTensors(checkpoint, releasedTensors(config), { optional: [TIED_HEAD] });
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
    ({ name }) => !packed.has(name) && !(config.text.tieWordEmbeddings && name === TIED_HEAD),
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
    [...releasedTensors(config).keys(), TIED_HEAD].flatMap((name) => {
      const found = findQuantized(checkpoint, name);
      const matrix = { name, type: `int${found?.bits}` };
      return found
        ? [found.data, found.scales, ...(found.zeroPointData ? [found.zeroPointData] : [])].map(
            (part) => [part.name, matrix] as const,
          )
        : [];
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
