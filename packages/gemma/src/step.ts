import type { Session, Tensor } from "@paligemma/backend";
import { fromFloat32, zeros, type NdArray } from "@paligemma/core";
import type { KeyValueCache } from "./cache.ts";
import type { CheckedPrompt, DecoderParts } from "./decoder.ts";
import { hasWindow } from "./decoder-graph.ts";
import { gridOf, type Grid } from "./grid.ts";
import { prefixLmMask } from "./mask.ts";

/** What a cache holds. */
export interface Place {
  /** Per row, 1 for each position that is no padding. */
  readonly valid: readonly Uint8Array[];
  /** Per row, the number of real tokens: the position of the last one. */
  readonly positions: readonly number[];
}

/** Tokens to be taken in by one run. */
export interface Tokens {
  /** [batch][tokens] */
  readonly ids: readonly (readonly number[])[];
  /** The prompt's own: only its first run has a prefix, padding and images. */
  readonly prompt: CheckedPrompt | undefined;
}

/** What is there once the tokens were taken in. */
export function placeAfter({ valid, positions }: Place, { ids, prompt }: Tokens): Place {
  const tokens = ids[0]!.length;
  const all = ids.map((_, b) => appended(valid[b]!, prompt?.valid[b], tokens, 1));
  return {
    valid: all,
    positions: positions.map((before, b) => before + sum(all[b]!.subarray(all[b]!.length - tokens))),
  };
}

/** Everything that the graph is fed to take tokens in after `place`, and to be asked for the scores of some. */
export function stepFeeds(
  { backend, config, imageTokenIndex }: DecoderParts,
  cache: KeyValueCache,
  place: Place,
  tokens: Tokens,
  asked: readonly number[],
): Record<string, NdArray | Tensor> {
  const { ids, prompt } = tokens;
  const [batch, count] = [ids.length, ids[0]!.length];
  const { valid } = placeAfter(place, tokens);
  const past = valid[0]!.length - count;
  const { compute } = backend.target;
  const types = prompt && ids.map((_, b) => appended(new Uint8Array(0), prompt.types[b], count, 1));
  const grid = gridOf(backend.target, batch, count);
  const mask = { valid, tokens: count, compute, ...(types && { types }) };
  return {
    input_ids: int64(
      grid.shape,
      grid.inOrder(ids.flatMap((row) => row.map((id) => (id === imageTokenIndex ? 0 : id)))),
    ),
    position_ids: int64(
      grid.shape,
      grid.inOrder(ids.flatMap((_, b) => positionsOf(valid[b]!, past, place.positions[b]!))),
    ),
    mask: prefixLmMask(mask),
    ...(hasWindow(config) && { sliding_mask: prefixLmMask({ ...mask, window: config.slidingWindow }) }),
    logit_rows: int64(
      [asked.length],
      asked.map((row) => grid.place(row)),
    ),
    scored_rows: int64(
      [asked.length],
      asked.map((_, i) => i),
    ),
    ...cache.past(past),
    ...(imageTokenIndex !== undefined && imageFeeds(tokens, grid, { compute, config, imageTokenIndex })),
  };
}

/** Of everything that can be fed, what a session's graph has inputs for. */
export function takenBy<T>({ model }: Pick<Session, "model">, feeds: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(model.inputs.map(({ name }) => [name, feeds[name]!]));
}

function imageFeeds(
  { ids, prompt }: Tokens,
  grid: Grid,
  {
    compute,
    config,
    imageTokenIndex,
  }: Pick<DecoderParts, "config"> & {
    readonly compute: DecoderParts["backend"]["target"]["compute"];
    readonly imageTokenIndex: number;
  },
): Record<string, NdArray | Tensor> {
  const features = prompt?.features;
  let next = 0;
  const flat = ids.flat();
  const isImage = flat.map((id) => (features && id === imageTokenIndex ? 1 : 0));
  const index = flat.map((_, i) => (isImage[i] ? next++ : 0));
  return {
    image_features: features
      ? features.dtype === "float32" && compute !== "float32" && "data" in features
        ? fromFloat32(features as NdArray<"float32">, compute)
        : features
      : zeros(compute, [1, config.hiddenSize]),
    image_index: int64(grid.shape, grid.inOrder(index)),
    is_image: { dtype: "bool", shape: [...grid.shape, 1], data: Uint8Array.from(grid.inOrder(isImage)) },
  };
}

/** int64 of a shape. */
export function int64(shape: readonly number[], values: readonly number[]): NdArray<"int64"> {
  return { dtype: "int64", shape, data: BigInt64Array.from(values, BigInt) };
}

/** `before`, then `own`, then `rest` up to `tokens` more entries. */
function appended(before: Uint8Array, own: Uint8Array | undefined, tokens: number, rest: number): Uint8Array {
  const joined = new Uint8Array(before.length + tokens).fill(rest);
  joined.set(before);
  if (own) joined.set(own, before.length);
  return joined;
}

/** Positions of the tokens after `past`: real tokens count from 1 on, pads have the position of what stands before them. */
function positionsOf(valid: Uint8Array, past: number, before: number): number[] {
  const out: number[] = [];
  for (let i = past; i < valid.length; i++) {
    before += valid[i]!;
    out.push(Math.max(before, 1));
  }
  return out;
}

function sum(values: Uint8Array): number {
  return values.reduce((all, value) => all + value, 0);
}
