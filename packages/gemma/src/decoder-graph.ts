import type { GemmaConfig } from "@paligemma/config";
import {
  argMax,
  buildGraph,
  cast,
  checkpointWeights,
  concat,
  declaredWeights,
  gather,
  reshape,
  transpose,
  where,
  type AdapterSlots,
  type Choices,
  type Dim,
  type Graph,
  type GraphModel,
  type Target,
  type Value,
} from "@paligemma/graph";
import type { Checkpoint, TensorRef } from "@paligemma/weights";
import { GEMMA_PREFIX, embedTokens, gemmaRotary, someTokenScores, tokenChoices, tokenScores } from "./ends.ts";
import { gemma, type Context } from "./network.ts";

/** Choices that change the graph. */
export interface DecoderGraphOptions {
  /** Take rows for image tokens from `image_features`. */
  readonly images?: boolean;
  /**
   * Apply Gemma 2's final soft-capping, as the original release does in pretraining. Off by default: transformers does not
   * (since 4.52). It never changes the most likely token.
   */
  readonly finalSoftcap?: boolean;
  /** Weights that are fed with every run instead of being built in. */
  readonly slots?: AdapterSlots;
  /** Dimensions that are few in every run; where it `hasFew`, the target has another graph for them that does the same. */
  readonly few?: readonly ("batch" | "tokens" | "asked")[];
  /**
   * Where there are two graphs: "only" for one token of one text, which is none of an image, and "never" for everything else; each
   * does what the one for all does, faster. Default: one graph for all.
   */
  readonly single?: "only" | "never" | undefined;
}

/** True where the target has other operators for few rows. */
export function hasFew(target: Target): boolean {
  return target.compute === "float32" && target.fused.has("Einsum");
}

/** True where the decoder has layers with a window, which then have a mask of their own. */
export function hasWindow(c: GemmaConfig): boolean {
  return c.slidingWindow !== null && c.layerTypes.includes("sliding_attention");
}

/**
 * True where the graph has the position before the batch in everything but the mask, as the cache has: saves turning keys and
 * values around in every run, but no fused attention takes it.
 */
export function hasPositionFirst(target: Target): boolean {
  return !target.fused.has("Attention");
}

/**
 * True where a second graph over the decoder's weights costs no memory: the target maps files, and the weights lie there as they are
 * multiplied with, neither in half precision nor in blocks.
 */
export function sharesWeights(target: Target, { tensors }: Checkpoint): boolean {
  const ready = ({ dtype, source }: TensorRef): boolean =>
    source.path !== undefined && (dtype === "float32" || dtype === "int8");
  const matrices = [...tensors].filter(([name, { shape }]) => name.startsWith("language_model.") && shape.length > 1);
  return target.mapsFiles === true && matrices.every(([, ref]) => ready(ref));
}

/** True where some weights are fed with every run, instead of being built in. */
export function areFed(slots: AdapterSlots | undefined): boolean {
  return slots !== undefined && slots.whole.size + slots.lowRank.size > 0;
}

/** Numbers of an output layer from which on reading it takes longer than the second run that does without most of it: 2²². */
const LARGE_HEAD = 2 ** 22;

/**
 * True where scores can be asked of some tokens alone: a second graph then has the output layer once more, which costs no memory where
 * weights are mapped. Not with adapters, which may change it.
 */
export function scoresSome(
  c: GemmaConfig,
  target: Target,
  checkpoint: Checkpoint | undefined,
  slots: AdapterSlots | undefined,
): boolean {
  if (areFed(slots) || !checkpoint || !target.mapsFiles || c.vocabSize * c.hiddenSize < LARGE_HEAD) return false;
  // Panels that a target has to turn into blocks would be there once more.
  const ready = ({ dtype, source }: TensorRef): boolean =>
    source.path !== undefined && (dtype !== "int8" || target.fused.has("MatMulInteger"));
  return [...checkpoint.tensors.values()].every(ready);
}

/** The output layer for some tokens: `hidden` [rows, hidden size] and `chosen` int64 [k] → `scores` [rows, k · perChoice]. */
export function someScoresGraph(
  config: GemmaConfig,
  target: Target,
  checkpoint: Checkpoint,
  { finalSoftcap = false }: Pick<DecoderGraphOptions, "finalSoftcap"> = {},
): { readonly model: GraphModel; readonly choices: Choices } {
  let choices: Choices = { perChoice: 1 };
  const model = buildGraph("gemma, some scores", target, (g) => {
    const root = checkpointWeights(g, checkpoint);
    choices = tokenChoices(root, config);
    const hidden = g.input("hidden", "float32", ["rows", config.hiddenSize]);
    const chosen = g.input("chosen", "int64", [choices.count ?? "chosen"]);
    return { scores: someTokenScores(hidden, chosen, root, config, finalSoftcap) };
  });
  return { model, choices };
}

/**
 * One graph for prompt and single steps. Inputs, in which batch and tokens change places where the target
 * `hasPositionFirst`: `input_ids`, `position_ids` int64 [batch, tokens]; `mask` (and `sliding_mask`) [batch, 1, tokens, total];
 * `past.{i}.key`, `past.{i}.value` [past, batch, width]; `logit_rows` int64 [asked], rows of [batch · tokens];
 * with images also `image_features` [features, hidden], `image_index` int64 [batch, tokens] and `is_image` bool
 * [batch, tokens, 1]. Outputs: `logits` [asked, vocabulary], `next` int64 [asked, 1], and the new rows
 * `present.{i}.key`, `present.{i}.value` [tokens, batch, width]. Where it `scoresSome`, also `scored_rows` int64 [scored],
 * which of the asked rows have logits (none, where `someScoresGraph` makes them), and the output `hidden` [asked, hidden size].
 */
export function gemmaGraph(
  config: GemmaConfig,
  target: Target,
  checkpoint?: Checkpoint,
  options: DecoderGraphOptions = {},
): GraphModel {
  const { few = [] } = options;
  const single = options.single === "only";
  const [batch, tokens] = single ? ([1, 1] as const) : (["batch", "tokens"] as const);
  const define = (g: Graph): Readonly<Record<string, Value>> => {
    const root = checkpoint ? checkpointWeights(g, checkpoint, options.slots) : declaredWeights(g);
    const w = root.at(GEMMA_PREFIX);
    const { compute } = target;
    const grid = hasPositionFirst(target) ? ([tokens, batch] as const) : ([batch, tokens] as const);
    const ids = g.input("input_ids", "int64", grid);
    const positions = g.input("position_ids", "int64", grid);
    const mask = g.input("mask", compute, [batch, 1, tokens, "total"]);
    const slidingMask = hasWindow(config) ? g.input("sliding_mask", compute, [batch, 1, tokens, "total"]) : mask;
    const cache = positionFirstCache(g, config, batch);
    const rows = single ? undefined : g.input("logit_rows", "int64", ["asked"]);

    let x = embedTokens(ids, w, config);
    if (options.images && !single) x = insertImages(x, config, grid);
    const rotary = gemmaRotary(positions, config);
    const hidden = gemma(reshape(x, [single ? 1 : grid.join("*"), config.hiddenSize]), w, config, {
      ...(rows && { asked: (y) => gather(y, rows) }),
      grid,
      positions,
      rotary,
      mask,
      slidingMask,
      positionFirst: hasPositionFirst(target),
      remember: cache.remember,
    });

    const apart = scoresSome(config, target, checkpoint, options.slots);
    const scored = apart ? gather(hidden, g.input("scored_rows", "int64", ["scored"])) : hidden;
    const logits = tokenScores(scored, root, config, options.finalSoftcap);
    return { logits, next: argMax(logits), ...(apart && { hidden }), ...cache.outputs };
  };
  return buildGraph(single ? "gemma, one token" : ["gemma", ...few].join(", few "), target, define, {
    few,
    many: options.single === "never" ? ["batch*tokens"] : [],
  });
}

/** Names of the cache's tensors: `past.3.key` is continued by `present.3.key`. */
export function cacheNames(config: GemmaConfig): readonly string[] {
  return Array.from({ length: config.numHiddenLayers }, (_, i) => [`${i}.key`, `${i}.value`]).flat();
}

/**
 * Caches with the position first, [past, batch, k · e] per layer: a prefix of the positions is contiguous. The outputs hold
 * the rows of this run alone.
 */
export function positionFirstCache(
  g: Graph,
  c: GemmaConfig,
  batch: Dim,
): Pick<Context, "remember"> & { readonly outputs: Readonly<Record<string, Value>> } {
  const width = c.numKeyValueHeads * c.headDim;
  const inputs = new Map(
    cacheNames(c).map((name) => [name, g.input(`past.${name}`, g.target.compute, ["past", batch, width])]),
  );
  const outputs: Record<string, Value> = {};
  // [b, t, …] ⇄ [t, b, …]
  const swap = (x: Value): Value => (hasPositionFirst(g.target) ? x : transpose(x, [1, 0, 2]));
  const joined = (name: string, now: Value): Value => {
    const rows = swap(now);
    outputs[`present.${name}`] = rows;
    return swap(concat([inputs.get(name)!, rows], 0, "total")); // [b, total, k · e], or as it is kept
  };
  // One token of one text: nothing is turned around, and nothing of the cache copied.
  const apart = (name: string, now: Value): Value => {
    outputs[`present.${name}`] = now;
    return inputs.get(name)!;
  };
  return {
    outputs,
    remember: (layer, now) =>
      batch === 1
        ? { ...now, before: { key: apart(`${layer}.key`, now.key), value: apart(`${layer}.value`, now.value) } }
        : { key: joined(`${layer}.key`, now.key), value: joined(`${layer}.value`, now.value) },
  };
}

/** x with the rows of image tokens replaced by image features, which are not scaled. */
export function insertImages(x: Value, c: GemmaConfig, grid: readonly Dim[]): Value {
  const g = x.graph;
  const features = g.input("image_features", g.target.compute, ["features", c.hiddenSize]);
  const index = g.input("image_index", "int64", grid);
  const isImage = g.input("is_image", "bool", [...grid, 1]);
  return where(isImage, cast(gather(features, index), x.dtype), x);
}
