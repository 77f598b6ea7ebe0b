import type { Backend } from "@paligemma/backend";
import { PaliGemmaError, ndArray, type NdArray } from "@paligemma/core";
import type { ModelFiles } from "@paligemma/weights";
import type { ForwardInputs } from "./forward.ts";
import type { PaliGemmaModel } from "./model.ts";

/** Name of the file beside the weights. */
export const SELF_CHECK_FILE = "self-check.json";

/** Logits that a right device gives for a small fixed input, as they stand in `self-check.json`. */
export interface SelfCheck {
  /** One prompt; its image tokens stand for the fixed picture. */
  readonly inputIds: readonly number[];
  /** Some token ids, and their logits after the prompt. */
  readonly tokens: readonly number[];
  readonly logits: readonly number[];
}

const MAX_BYTES = 2 ** 20;
const MAX_PROMPT = 8192;
const MAX_TOKENS = 4096;
/** Logits that `recordSelfCheck` keeps: so many of the largest, and as many spread over the vocabulary. */
const RECORDED = 16;

/**
 * How far logits may be off, as a share of the largest expected one: rounding of each format adds up over the layers, wrong
 * kernels give something else altogether. Quantised weights are compared with the checkpoint that they were made from.
 */
const TOLERANCE = { float32: 0.001, float16: 0.05, bfloat16: 0.1, quantised: 0.3 } as const;

/** Computes the expectation for a model, on a device that is trusted: the CPU in float32. */
export async function recordSelfCheck(model: PaliGemmaModel, inputIds: readonly number[]): Promise<SelfCheck> {
  const all = await logitsOf(model, inputIds);
  const step = Math.ceil(all.length / RECORDED);
  const ids = Array.from(all, (_, id) => id);
  const largest = ids.toSorted((a, b) => all[b]! - all[a]!).slice(0, RECORDED);
  const tokens = [...new Set([...largest, ...ids.filter((id) => id % step === 0)])];
  return { inputIds, tokens, logits: tokens.map((id) => Number(all[id]!.toPrecision(7))) };
}

/**
 * Compares a few logits with those in the model's `self-check.json`; false where there is no such file. Throws
 * `paligemma/self-check` with the largest difference, the device, its precision and a remedy, or for a file that is damaged.
 */
export async function selfCheck(model: PaliGemmaModel, files: ModelFiles, backend: Backend): Promise<boolean> {
  const expected = await readSelfCheck(files, model);
  if (!expected) return false;
  const all = await logitsOf(model, expected.inputIds);
  const differences = expected.tokens.map((id, i) => Math.abs(all[id]! - expected.logits[i]!));
  const worst = differences.reduce((most, value) => (value <= most ? most : value), 0); // NaN is the worst
  const { name, compute } = backend.target;
  const precision = files.paths.has("quantization.json") ? "quantised" : compute;
  const largest = expected.logits.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const allowed = TOLERANCE[precision] * largest;
  if (worst <= allowed) return true;
  const remedy =
    name !== "webgpu"
      ? "Download the model again; the runtime may also be faulty on this processor"
      : compute === "float32"
        ? 'Update the graphics driver or the browser, or take the device "wasm"'
        : 'Take the precision "float32", or update the graphics driver';
  throw new PaliGemmaError(
    "paligemma/self-check",
    `${backend.name} computes wrong logits of ${files.name} in ${compute}: off by ${worst.toPrecision(3)}, at most ${allowed.toPrecision(3)} is right. ${remedy}.`,
  );
}

async function logitsOf(model: PaliGemmaModel, ids: readonly number[]): Promise<Float32Array> {
  const { logits } = await model.forward(inputsOf(model, ids), { logitsToKeep: 1 });
  return logits.data;
}

function inputsOf({ config }: PaliGemmaModel, ids: readonly number[]): ForwardInputs {
  const inputIds = ndArray("int64", [1, ids.length], BigInt64Array.from(ids, BigInt));
  const images = ids.filter((id) => id === config.imageTokenIndex).length / config.numImageTokens;
  return images === 0 ? { inputIds } : { inputIds, pixelValues: picture(config.vision, images) };
}

/** Numbers in −1 … 1 that every format holds exactly, so that only the arithmetic can differ. */
function picture(
  { numChannels, imageSize }: { readonly numChannels: number; readonly imageSize: number },
  images: number,
): NdArray<"float32"> {
  const shape = [images, numChannels, imageSize, imageSize];
  const data = Float32Array.from(
    { length: images * numChannels * imageSize ** 2 },
    (_, i) => ((((i + 1) * 7919) % 257) - 128) / 128,
  );
  return ndArray("float32", shape, data);
}

async function readSelfCheck(files: ModelFiles, { config }: PaliGemmaModel): Promise<SelfCheck | undefined> {
  if (!files.paths.has(SELF_CHECK_FILE)) return undefined;
  const source = await files.open(SELF_CHECK_FILE);
  const fail = (what: string): never => {
    throw new PaliGemmaError(
      "paligemma/self-check",
      `${source.name}: ${what}. Download it again, or load with selfCheck: false`,
    );
  };
  if (source.size > MAX_BYTES) return fail(`${source.size} bytes are more than the ${MAX_BYTES} that it may have`);
  let json: Partial<Record<keyof SelfCheck, unknown>>;
  try {
    json = (JSON.parse(new TextDecoder().decode(await source.read(0, source.size))) ?? {}) as typeof json;
  } catch {
    return fail("it is no JSON text");
  }
  const { inputIds, tokens, logits } = json;
  const { vocabSize } = config.text;
  const isId = (id: unknown): boolean =>
    Number.isInteger(id) && (id as number) >= 0 && ((id as number) < vocabSize || id === config.imageTokenIndex);
  const isList = (list: unknown, most: number, fits: (item: unknown) => boolean): boolean =>
    Array.isArray(list) && list.length > 0 && list.length <= most && list.every(fits);
  if (!isList(inputIds, MAX_PROMPT, isId)) return fail("inputIds is no list of token ids");
  if (!isList(tokens, MAX_TOKENS, (id) => isId(id) && (id as number) < vocabSize))
    return fail("tokens is no list of token ids");
  if (!isList(logits, MAX_TOKENS, Number.isFinite)) return fail("logits is no list of numbers");
  const check = json as SelfCheck;
  if (check.logits.length !== check.tokens.length)
    return fail(`there are ${check.tokens.length} tokens, and ${check.logits.length} logits`);
  if (check.inputIds.filter((id) => id === config.imageTokenIndex).length % config.numImageTokens !== 0)
    return fail(`its image tokens are no multiple of ${config.numImageTokens}`);
  return check;
}
