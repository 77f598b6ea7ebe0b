import type { GemmaConfig, PaliGemmaConfig } from "@paligemma/config";
import {
  GEMMA_PREFIX,
  embedTokens,
  gemma,
  gemmaRotary,
  hasWindow,
  tokenScores,
  type KeyValues,
} from "@paligemma/gemma";
import {
  WEBGPU,
  buildGraph,
  cast,
  checkpointWeights,
  concat,
  integers,
  linear,
  reshape,
  transpose,
  type Graph,
  type GraphModel,
  type Target,
  type Value,
} from "@paligemma/graph";
import { SIGLIP_PREFIX, siglip } from "@paligemma/siglip";
import { canonicalNames, type Checkpoint } from "@paligemma/weights";
import type { Part } from "./layout.ts";
import { graphMask } from "./mask.ts";

/**
 * What the files are written for: they do not know where they will run, so they use what the CPU, WebGPU and WebAssembly
 * providers of onnxruntime all have.
 */
export const PORTABLE: Target = {
  ...WEBGPU,
  name: "transformers.js",
  stored: new Set(["float32", "float16"]),
  // No MultiHeadAttention: transformers.js opens GPUs with subgroups, with which it gives wrong numbers on several.
  fused: new Set(["SimplifiedLayerNormalization", "RotaryEmbedding", "MatMulNBits"]),
};

const PROJECTOR = "multi_modal_projector.linear";
// transformers.js fills `batch_size` when it makes empty caches, and takes any other name for 0.
const BATCH = "batch_size";
const TOKENS = "sequence_length";
const PAST = "past_sequence_length";
const TOTAL = "total_sequence_length";
const SIZES = { batch: BATCH, tokens: TOKENS, past: PAST, total: TOTAL };
/** Beyond any position. */
const END = 2 ** 31 - 1;

/**
 * The three networks as transformers.js 4.3 runs them:
 * - `vision_encoder`: `pixel_values` [batch, 3, size, size] → `image_features` [batch, patches, hidden];
 * - `embed_tokens`: `input_ids` int64 [batch, tokens] → `inputs_embeds` [batch, tokens, hidden], times √hidden;
 * - `decoder_model_merged`: `inputs_embeds`, `attention_mask` int64 [batch, past + tokens], `position_ids` int64
 *   [batch, tokens], `num_logits_to_keep` int64 [] (0 for all) and `past_key_values.{i}.key|value` [batch, heads, past, head
 *   size] → `logits` [batch, kept, vocabulary] and `present.{i}.key|value` [batch, heads, past + tokens, head size].
 * A run of the decoder with an empty cache is a prompt, whose tokens all see each other; later runs are causal.
 */
export function exportGraphs(
  config: PaliGemmaConfig,
  checkpoint: Checkpoint,
  target: Target = PORTABLE,
): Readonly<Record<Part, GraphModel>> {
  const weights = canonicalNames(checkpoint);
  return {
    vision_encoder: buildGraph("vision_encoder", target, (g) => {
      const root = checkpointWeights(g, weights);
      const { numChannels, imageSize } = config.vision;
      const pixels = g.input("pixel_values", "float32", [BATCH, numChannels, imageSize, imageSize]);
      const features = siglip(cast(pixels, target.compute), root.at(SIGLIP_PREFIX), config.vision);
      const rows = linear(features, root.at(PROJECTOR), config.text.hiddenSize, { bias: true });
      return { image_features: cast(rows, "float32") };
    }),
    embed_tokens: buildGraph("embed_tokens", target, (g) => {
      const ids = g.input("input_ids", "int64", [BATCH, TOKENS]);
      const rows = embedTokens(ids, checkpointWeights(g, weights).at(GEMMA_PREFIX), config.text);
      return { inputs_embeds: cast(rows, "float32") };
    }),
    decoder_model_merged: buildGraph("decoder_model_merged", target, (g) => decoder(g, config.text, weights)),
  };
}

function decoder(g: Graph, c: GemmaConfig, checkpoint: Checkpoint): Readonly<Record<string, Value>> {
  const root = checkpointWeights(g, checkpoint);
  const x = cast(g.input("inputs_embeds", "float32", [BATCH, TOKENS, c.hiddenSize]), g.target.compute);
  const attentionMask = g.input("attention_mask", "int64", [BATCH, TOTAL]);
  const positions = g.input("position_ids", "int64", [BATCH, TOKENS]);
  const keep = g.input("num_logits_to_keep", "int64", []);
  const cache = headFirstCache(g, c);
  const mask = graphMask(attentionMask, SIZES);
  const grid = [BATCH, TOKENS] as const;
  const rows = gemma(reshape(x, [grid.join("*"), c.hiddenSize]), root.at(GEMMA_PREFIX), c, {
    grid,
    positions,
    rotary: gemmaRotary(positions, c),
    mask,
    slidingMask: hasWindow(c) ? graphMask(attentionMask, SIZES, c.slidingWindow) : mask,
    remember: cache.remember,
  });
  const hidden = reshape(rows, [...grid, c.hiddenSize]);
  return { logits: tokenScores(lastTokens(hidden, keep), root, c), ...cache.outputs };
}

/** The last `keep` of the tokens of hidden [batch, tokens, d], or all where it is 0. */
function lastTokens(hidden: Value, keep: Value): Value {
  const g = hidden.graph;
  const start = g.node({ op: "Neg", inputs: [reshape(keep, [1])], outputs: [{ dtype: "int64", shape: [1] }] });
  const shape = [BATCH, "kept", hidden.shape[2]!];
  const inputs = [hidden, start[0]!, integers(g, [END]), integers(g, [1])];
  return g.node({ op: "Slice", inputs, outputs: [{ dtype: hidden.dtype, shape }] })[0]!;
}

/** Caches as transformers.js hands them around: whole, and head by head. */
function headFirstCache(
  g: Graph,
  c: GemmaConfig,
): {
  readonly remember: (layer: number, now: KeyValues) => KeyValues;
  readonly outputs: Readonly<Record<string, Value>>;
} {
  const [heads, size] = [c.numKeyValueHeads, c.headDim];
  const past = Array.from({ length: c.numHiddenLayers }, (_, i) => {
    const port = (name: string): Value =>
      g.input(`past_key_values.${i}.${name}`, g.target.compute, [BATCH, heads, PAST, size]);
    return { key: port("key"), value: port("value") };
  });
  const outputs: Record<string, Value> = {};
  const joined = (layer: number, name: keyof KeyValues, now: Value): Value => {
    const here = transpose(reshape(now, [BATCH, TOKENS, heads, size]), [0, 2, 1, 3]);
    const all = concat([past[layer]![name], here], 2, TOTAL);
    outputs[`present.${layer}.${name}`] = all;
    return all;
  };
  return {
    outputs,
    remember: (layer, now) => ({
      key: joined(layer, "key", now.key),
      value: joined(layer, "value", now.value),
    }),
  };
}
