import {
  accumulate,
  add,
  attention,
  cast,
  layerNorm,
  linear,
  patches,
  perceptron,
  reshape,
  type Dim,
  type Value,
  type Weights,
} from "@paligemma/graph";
import type { SiglipConfig } from "@paligemma/config";

// Axes: n images · c channels · h, w pixels · p patches, row by row · r = n · p · d hidden size · f intermediate size

/** [n, p] */
type Grid = readonly [Dim, number];

/**
 * SigLIP's vision encoder: pixels [n, c, h, w] in −1 … 1 → one vector per patch [n, p, d], after the last layer norm.
 * There is no class token and no pooling. Source: arXiv 2303.15343 and transformers 5.18, models/siglip.
 */
export function siglip(pixels: Value, w: Weights, c: SiglipConfig): Value {
  const embedded = embed(pixels, w.at("embeddings"), c);
  const [n, p, d] = embedded.shape as readonly [Dim, number, number];
  // Every part but attention takes patches as so many rows.
  let x = reshape(embedded, [`${n}*${p}`, d]);
  for (let i = 0; i < c.numHiddenLayers; i++) x = block(x, w.at("encoder", "layers", i), c, [n, p]);
  return reshape(layerNorm(x, w.at("post_layernorm"), c.layerNormEps), [n, p, d]);
}

/** Each patch becomes a vector, to which the learned vector of its place is added. */
function embed(pixels: Value, w: Weights, c: SiglipConfig): Value {
  const d = c.hiddenSize;
  const p = (c.imageSize / c.patchSize) ** 2;
  const x = patches(cast(pixels, "float32"), w.at("patch_embedding"), d, c.patchSize); // [n, p, d]
  return add(x, cast(w.at("position_embedding").stored("weight", [p, d]), "float32"));
}

/** Attention among all patches, then the two-layer perceptron, each on a normalised copy and added back. */
function block(x: Value, w: Weights, c: SiglipConfig, grid: Grid): Value {
  x = accumulate(x, selfAttention(layerNorm(x, w.at("layer_norm1"), c.layerNormEps), w.at("self_attn"), c, grid));
  return accumulate(x, mlp(layerNorm(x, w.at("layer_norm2"), c.layerNormEps), w.at("mlp"), c));
}

function selfAttention(x: Value, w: Weights, c: SiglipConfig, grid: Grid): Value {
  const d = c.hiddenSize;
  const heads = c.numAttentionHeads;
  const headDim = d / heads;
  const project = (name: string): Value => reshape(linear(x, w.at(name), d), [...grid, d]);
  const bias = (name: string): Value => w.at(name).tensor("bias", [d]);
  const [q, k, v] = [project("q_proj"), project("k_proj"), project("v_proj")];
  const biases = [bias("q_proj"), bias("k_proj"), bias("v_proj")] as const;
  const mixed = attention(q, k, v, { heads, keyValueHeads: heads, headDim, scale: headDim ** -0.5, biases });
  return linear(reshape(mixed, x.shape), w.at("out_proj"), d, { bias: true });
}

function mlp(x: Value, w: Weights, c: SiglipConfig): Value {
  return perceptron(x, w, { up: "fc1", down: "fc2", hiddenSize: c.intermediateSize, bias: true });
}
