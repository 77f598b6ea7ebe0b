import type { GemmaConfig } from "@paligemma/config";
import {
  argMax,
  buildGraph,
  cast,
  checkpointWeights,
  declaredWeights,
  div,
  gather,
  gatherQuantized,
  mul,
  multiplyQuantized,
  multiplyTransposed,
  reshape,
  rmsNorm,
  rotaryTables,
  scalar,
  tanh,
  where,
  type Graph,
  type GraphModel,
  type Target,
  type Value,
  type Weights,
} from "@paligemma/graph";
import type { Checkpoint } from "@paligemma/weights";
import { gemma, type KeyValues } from "./network.ts";

/** Where the decoder's tensors stand in a checkpoint under its released names. */
export const GEMMA_PREFIX = "language_model.model";
const HEAD = "language_model.lm_head";

/** Positions that the rotary tables hold at most: what PaliGemma was made for, 16 MB at a head size of 256. */
const MAX_POSITIONS = 8192;

/** Choices that change the graph. */
export interface DecoderGraphOptions {
  /** Take rows for image tokens from `image_features`. */
  readonly images?: boolean;
  /**
   * Apply Gemma 2's final soft-capping, as the original release does in pretraining. Off by default: transformers does not
   * (since 4.52). It never changes the most likely token.
   */
  readonly finalSoftcap?: boolean;
}

/** True where the decoder has layers with a window, which then have a mask of their own. */
export function hasWindow(c: GemmaConfig): boolean {
  return c.slidingWindow !== null && c.layerTypes.includes("sliding_attention");
}

/**
 * One graph for prompt and single steps. Inputs:
 * `input_ids`, `position_ids` int64 [batch, tokens]; `mask` (and `sliding_mask`) [batch, 1, tokens, total];
 * `past.{i}.key`, `past.{i}.value` [past, batch, width]; `logit_rows` int64 [asked], rows of [batch · tokens];
 * with images also `image_features` [features, hidden], `image_index` int64 [batch, tokens] and `is_image` bool
 * [batch, tokens, 1]. Outputs: `logits` [asked, vocabulary], `next` int64 [asked], and the new rows
 * `present.{i}.key`, `present.{i}.value` [tokens, batch, width].
 */
export function gemmaGraph(
  config: GemmaConfig,
  target: Target,
  checkpoint?: Checkpoint,
  options: DecoderGraphOptions = {},
): GraphModel {
  return buildGraph("gemma", target, (g) => {
    const root = checkpoint ? checkpointWeights(g, checkpoint) : declaredWeights(g);
    const w = root.at(GEMMA_PREFIX);
    const { compute } = target;
    const ids = g.input("input_ids", "int64", ["batch", "tokens"]);
    const positions = g.input("position_ids", "int64", ["batch", "tokens"]);
    const mask = g.input("mask", compute, ["batch", 1, "tokens", "total"]);
    const slidingMask = hasWindow(config) ? g.input("sliding_mask", compute, ["batch", 1, "tokens", "total"]) : mask;
    const past = pastInputs(g, config);
    const rows = g.input("logit_rows", "int64", ["asked"]);

    let x = embed(ids, w, config);
    if (options.images) x = insertImages(x, config);
    const rotary = rotaryTables(g, {
      positions: Math.min(config.maxPositionEmbeddings, MAX_POSITIONS),
      headDim: config.headDim,
      theta: config.ropeTheta,
    });
    const { hidden, present } = gemma(x, w, config, { positions, rotary, mask, slidingMask, past });

    const asked = gather(reshape(hidden, ["batch*tokens", config.hiddenSize]), rows);
    let logits = head(rmsNorm(asked, w.at("norm"), config.rmsNormEps), root, config);
    if (options.finalSoftcap && config.finalLogitSoftcapping) {
      const cap = scalar(g, config.finalLogitSoftcapping);
      logits = mul(tanh(div(logits, cap)), cap);
    }
    logits = cast(logits, "float32");
    return { logits, next: argMax(logits), ...presentOutputs(present) };
  });
}

/** Names of the cache's tensors: `past.3.key` is continued by `present.3.key`. */
export function cacheNames(config: GemmaConfig): readonly string[] {
  return Array.from({ length: config.numHiddenLayers }, (_, i) => [`${i}.key`, `${i}.value`]).flat();
}

function pastInputs(g: Graph, c: GemmaConfig): KeyValues[] {
  const width = c.numKeyValueHeads * c.headDim;
  const port = (name: string): Value => g.input(`past.${name}`, g.target.compute, ["past", "batch", width]);
  return Array.from({ length: c.numHiddenLayers }, (_, i) => ({ key: port(`${i}.key`), value: port(`${i}.value`) }));
}

function presentOutputs(present: readonly KeyValues[]): Record<string, Value> {
  return Object.fromEntries(
    present.flatMap(({ key, value }, i) => [
      [`present.${i}.key`, key],
      [`present.${i}.value`, value],
    ]),
  );
}

/** Rows of the token table times √hidden. The table stays in the file's format; only the rows are converted. */
function embed(ids: Value, w: Weights, c: GemmaConfig): Value {
  const table = w.at("embed_tokens");
  const shape = [c.vocabSize, c.hiddenSize] as const;
  const quantized = table.quantized("weight", shape);
  const rows = quantized ? gatherQuantized(quantized, ids) : gather(table.stored("weight", shape), ids);
  return mul(cast(rows, ids.graph.target.compute), scalar(ids.graph, Math.sqrt(c.hiddenSize)));
}

/** x with the rows of image tokens replaced by image features, which are not scaled. */
function insertImages(x: Value, c: GemmaConfig): Value {
  const g = x.graph;
  const features = g.input("image_features", g.target.compute, ["features", c.hiddenSize]);
  const index = g.input("image_index", "int64", ["batch", "tokens"]);
  const isImage = g.input("is_image", "bool", ["batch", "tokens", 1]);
  return where(isImage, gather(features, index), x);
}

/** Scores of all tokens: the token table again, unscaled, unless the checkpoint has a head of its own and is not tied. */
function head(x: Value, root: Weights, c: GemmaConfig): Value {
  const own = !c.tieWordEmbeddings && root.at(HEAD).has("weight");
  const scope = own ? root.at(HEAD) : root.at(GEMMA_PREFIX, "embed_tokens");
  const shape = [c.vocabSize, c.hiddenSize] as const;
  const quantized = scope.quantized("weight", shape);
  return quantized ? multiplyQuantized(x, quantized) : multiplyTransposed(x, scope.tensor("weight", shape));
}
