import { bitsOf, fromFloat32, nearest, PaliGemmaError, sizeOf, toFloat32, viewAs } from "@paligemma/core";
import type { ByteSource } from "../byte-source.ts";
import type { Checkpoint, TensorRef } from "../checkpoint.ts";
import { checkRange } from "../sources.ts";
import { castTensor, checkpointOf, readTensor, type FloatDType } from "../tensors.ts";
import type { Adapter, LowRankUpdate } from "./open.ts";

/** A model with an adapter in it. */
export interface Merged {
  readonly checkpoint: Checkpoint;
  /**
   * True where the adapter changes the token table or the output layer of a model that ties them: the checkpoint then has
   * `language_model.lm_head.weight`, and the configuration must say `tie_word_embeddings: false`.
   */
  readonly untied: boolean;
}

const TABLE = "language_model.model.embed_tokens.weight";
const HEAD = "language_model.lm_head.weight";

/**
 * The model that a checkpoint (under released names, see `canonicalNames`) and an adapter make. Changed weights are computed row by
 * row while they are read, in float32, and rounded once to the checkpoint's format; all others stay where they lie. Throws
 * `weights/adapter` where the adapter does not fit.
 */
export function mergeAdapter(checkpoint: Checkpoint, adapter: Adapter): Merged {
  const { updates, replacements, config, name } = adapter;
  const tensors = new Map(checkpoint.tensors);
  const untied =
    !tensors.has(HEAD) &&
    [TABLE, HEAD].some((changed) => updates.has(changed) || (replacements.has(changed) && !config.ensureWeightTying));
  const table = tensors.get(TABLE);
  if (untied && table) tensors.set(HEAD, { ...table, name: HEAD });
  const base = (weight: string): TensorRef => {
    const ref = tensors.get(weight);
    if (ref) return ref;
    const meant = nearest(weight, tensors.keys());
    throw new PaliGemmaError(
      "weights/adapter",
      `${name} changes ${weight}, which the model does not have${meant ? ` (it has ${meant})` : ""}; was it trained on another model?`,
    );
  };
  for (const [weight, ref] of replacements) {
    if (weight === HEAD && config.ensureWeightTying && !tensors.has(HEAD)) continue;
    const { dtype, shape } = base(weight);
    if (ref.shape.join() !== shape.join()) throw misfit(name, weight, shape, `brings [${ref.shape.join(", ")}]`);
    tensors.set(weight, castTensor(ref, dtype as FloatDType));
  }
  for (const [weight, update] of updates) {
    tensors.set(weight, updated(base(weight), update, name));
    if (!update.bias) continue;
    const bias = weight.replace(/\.weight$/, ".bias");
    tensors.set(bias, added(base(bias), update.bias, update.scale, name));
  }
  return { checkpoint: checkpointOf(tensors.values(), checkpoint.metadata), untied };
}

/** Both factors of an update and its magnitudes, as float32. */
interface Factors {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly magnitude: Float32Array | undefined;
}

function updated(ref: TensorRef, update: LowRankUpdate, name: string): TensorRef {
  const [rows = 0, ...rest] = ref.shape;
  const columns = sizeOf(rest);
  const rank = update.a.shape[0]!;
  const [outs, ins] = [update.b.shape[0]!, sizeOf(update.a.shape.slice(1))];
  const fits = update.embedding ? outs === columns && ins === rows : outs === rows && ins === columns;
  if (!fits)
    throw misfit(
      name,
      ref.name,
      ref.shape,
      `brings lora_A [${update.a.shape.join(", ")}] and lora_B [${update.b.shape.join(", ")}]`,
    );
  if (update.magnitude && (update.embedding || sizeOf(update.magnitude.shape) !== rows))
    throw misfit(name, ref.name, ref.shape, `brings magnitudes [${update.magnitude.shape.join(", ")}]`);
  let factors: Promise<Factors> | undefined;
  return rowwise(ref, rows, columns, async (values, first, signal) => {
    factors ??= readFactors(update, signal);
    const { a, b, magnitude } = await factors.catch((error: unknown) => {
      factors = undefined;
      throw error;
    });
    const count = values.length / columns;
    for (let i = 0; i < count; i++) {
      const row = values.subarray(i * columns, (i + 1) * columns);
      if (update.embedding) addTokenRow(row, a, b, first + i, { rank, rows, scale: update.scale });
      else addRow(row, a, b, first + i, { rank, scale: update.scale });
      if (magnitude) setLength(row, magnitude[first + i]!);
    }
  });
}

async function readFactors(update: LowRankUpdate, signal?: AbortSignal): Promise<Factors> {
  const values = async (ref: TensorRef): Promise<Float32Array> => toFloat32(await readTensor(ref, signal)).data;
  const [a, b] = await Promise.all([values(update.a), values(update.b)]);
  return { a, b, magnitude: update.magnitude && (await values(update.magnitude)) };
}

/** A row of a layer: scale · b[row] · a. */
function addRow(
  row: Float32Array,
  a: Float32Array,
  b: Float32Array,
  at: number,
  { rank, scale }: { readonly rank: number; readonly scale: number },
): void {
  const columns = row.length;
  for (let k = 0; k < rank; k++) {
    const factor = scale * b[at * rank + k]!;
    const from = k * columns;
    for (let j = 0; j < columns; j++) row[j]! += factor * a[from + j]!;
  }
}

/** A token's row of the table: scale · b · a[:, token]. */
function addTokenRow(
  row: Float32Array,
  a: Float32Array,
  b: Float32Array,
  token: number,
  { rank, rows, scale }: { readonly rank: number; readonly rows: number; readonly scale: number },
): void {
  for (let k = 0; k < rank; k++) {
    const factor = scale * a[k * rows + token]!;
    for (let j = 0; j < row.length; j++) row[j]! += factor * b[j * rank + k]!;
  }
}

/** DoRA: the row keeps its direction and gets the length that was learned. */
function setLength(row: Float32Array, length: number): void {
  let square = 0;
  for (const x of row) square += x * x;
  const factor = length / Math.sqrt(square);
  for (let j = 0; j < row.length; j++) row[j]! *= factor;
}

function added(ref: TensorRef, more: TensorRef, scale: number, name: string): TensorRef {
  if (more.shape.join() !== ref.shape.join())
    throw misfit(name, ref.name, ref.shape, `brings [${more.shape.join(", ")}]`);
  return rowwise(ref, sizeOf(ref.shape), 1, async (values, first, signal) => {
    const { data } = toFloat32(await readTensor(more, signal));
    for (let i = 0; i < values.length; i++) values[i]! += scale * data[first + i]!;
  });
}

/** A tensor whose rows are changed while they are read, whichever bytes are asked for. */
function rowwise(
  ref: TensorRef,
  rows: number,
  columns: number,
  change: (values: Float32Array, first: number, signal?: AbortSignal) => Promise<void>,
): TensorRef {
  const dtype = ref.dtype as FloatDType;
  castTensor(ref, "float32"); // refuses formats that are no numbers by themselves
  const rowBytes = (columns * bitsOf(dtype)) / 8;
  const source: ByteSource = {
    name: `${ref.name} (with an adapter)`,
    size: rows * rowBytes,
    read: async (start, end, signal) => {
      checkRange(source, start, end);
      if (start === end) return new Uint8Array(0);
      const first = Math.floor(start / rowBytes);
      const last = Math.ceil(end / rowBytes);
      const bytes = await ref.source.read(ref.start + first * rowBytes, ref.start + last * rowBytes, signal);
      const values = toFloat32({ dtype, shape: [last - first, columns], data: viewAs(dtype, bytes) });
      await change(values.data, first, signal);
      const { data } = fromFloat32(values, dtype);
      return new Uint8Array(data.buffer, data.byteOffset + start - first * rowBytes, end - start);
    },
  };
  return { name: ref.name, dtype, shape: ref.shape, source, start: 0, end: source.size };
}

function misfit(adapter: string, weight: string, shape: readonly number[], what: string): PaliGemmaError {
  return new PaliGemmaError(
    "weights/adapter",
    `${adapter} ${what} for ${weight}, which is [${shape.join(", ")}]; was it trained on another model?`,
  );
}
