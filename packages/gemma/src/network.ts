import type { GemmaConfig } from "@paligemma/config";
import {
  accumulate,
  attention,
  cast,
  linear,
  linears,
  perceptron,
  reshape,
  rmsNorm,
  rotate,
  type Dim,
  type RotaryTables,
  type Value,
  type Weights,
} from "@paligemma/graph";

/** What PaliGemma was made for. Rotary tables take 16 MB at a head size of 256. */
const MAX_POSITIONS = 8192;

/** Positions that a decoder serves at most: prompt and answer together. */
export function positionsServed(c: Pick<GemmaConfig, "maxPositionEmbeddings">): number {
  return Math.min(c.maxPositionEmbeddings, MAX_POSITIONS);
}

// Axes: b batch · t tokens of this run · r = b · t rows · past positions in the cache · total = past + t · d hidden size ·
// h heads · k key-value heads · e head size · f intermediate size

/** Rotated keys and values of one layer. */
export interface KeyValues {
  readonly key: Value;
  readonly value: Value;
}

/** What every layer sees besides its input. */
export interface Context {
  /** int64 [b, t]; the first real token of a row is 1. */
  readonly positions: Value;
  /** Everything but the masks has t before b. */
  readonly positionFirst?: boolean;
  /** [b, t], or [t, b]: what rows are where attention looks at them. */
  readonly grid: readonly [Dim, Dim];
  readonly rotary: RotaryTables;
  /** Added to the scores, [b, 1, t, total]: 0 where a token may look. */
  readonly mask: Value;
  /** The same with the window of Gemma 2's sliding layers. */
  readonly slidingMask: Value;
  /**
   * Takes in the keys and values of these tokens in one layer, [b, t, k · e], and gives those of all tokens so far, as
   * `attention` takes them: together, or those of earlier tokens apart. How they are kept is the caller's business.
   */
  readonly remember: (layer: number, now: KeyValues) => KeyValues & { readonly before?: KeyValues };
  /** Where only some rows are asked for: picks them, [r, …] → [asked, …]. */
  readonly asked?: (x: Value) => Value;
}

/**
 * Gemma's decoder between embedding and head: x [r, d] → [r, d], or [asked, d], in float32 before the final norm. The sum
 * over the layers is float32 in every arithmetic. Gemma 1: arXiv 2403.08295; Gemma 2: arXiv 2408.00118.
 */
export function gemma(x: Value, w: Weights, c: GemmaConfig, context: Context): Value {
  const block = c.modelType === "gemma2" ? gemma2Block : gemmaBlock;
  x = cast(x, "float32");
  for (let i = 0; i < c.numHiddenLayers; i++) x = block(x, w.at("layers", i), c, context, i);
  return x;
}

/** In the last layer nothing but keys and values is made of rows that nobody asks for. */
function needed(x: Value, c: GemmaConfig, { asked }: Context, layer: number): Value {
  return asked && layer === c.numHiddenLayers - 1 ? asked(x) : x;
}

// In Gemma 1 the tensor called post_attention_layernorm is the norm before the perceptron.
function gemmaBlock(x: Value, w: Weights, c: GemmaConfig, context: Context, layer: number): Value {
  const mixed = selfAttention(rmsNorm(x, w.at("input_layernorm"), c.rmsNormEps), w.at("self_attn"), c, context, layer);
  x = accumulate(needed(x, c, context, layer), mixed);
  return accumulate(x, mlp(rmsNorm(x, w.at("post_attention_layernorm"), c.rmsNormEps), w.at("mlp"), c));
}

// Gemma 2 normalises both before and after each part.
function gemma2Block(x: Value, w: Weights, c: GemmaConfig, context: Context, layer: number): Value {
  const norm = (y: Value, name: string): Value => rmsNorm(y, w.at(name), c.rmsNormEps);
  const mixed = selfAttention(norm(x, "input_layernorm"), w.at("self_attn"), c, context, layer);
  x = accumulate(needed(x, c, context, layer), norm(mixed, "post_attention_layernorm"));
  return accumulate(x, norm(mlp(norm(x, "pre_feedforward_layernorm"), w.at("mlp"), c), "post_feedforward_layernorm"));
}

function selfAttention(x: Value, w: Weights, c: GemmaConfig, context: Context, layer: number): Value {
  const { numAttentionHeads: heads, numKeyValueHeads: keyValueHeads, headDim } = c;
  const [width, narrow] = [heads * headDim, keyValueHeads * headDim];
  const [ofQ, ofK, ofV] = linears(x, w, { q_proj: width, k_proj: narrow, v_proj: narrow });
  const open = (y: Value, columns: number): Value => reshape(y, [...context.grid, columns]);
  const q = rotate(open(ofQ!, width), context.positions, context.rotary, heads);
  const k = rotate(open(ofK!, narrow), context.positions, context.rotary, keyValueHeads);
  const v = open(ofV!, narrow);
  const all = context.remember(layer, { key: k, value: v });
  const mixed = attention(q, all.key, all.value, {
    heads,
    keyValueHeads,
    headDim,
    scale: c.queryPreAttnScalar ** -0.5,
    softcap: c.attnLogitSoftcapping,
    mask: c.layerTypes[layer] === "sliding_attention" ? context.slidingMask : context.mask,
    positionFirst: context.positionFirst ?? false,
    positions: positionsServed(c),
    ...(all.before && { before: all.before }),
  });
  const rows = reshape(mixed, [x.shape[0]!, width]);
  return linear(needed(rows, c, context, layer), w.at("o_proj"), c.hiddenSize);
}

function mlp(x: Value, w: Weights, c: GemmaConfig): Value {
  return perceptron(x, w, { gate: "gate_proj", up: "up_proj", down: "down_proj", hiddenSize: c.intermediateSize });
}
