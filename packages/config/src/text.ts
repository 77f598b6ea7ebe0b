import type { Fields } from "./fields.ts";
import { LIMITS } from "./limits.ts";
import type { GemmaConfig, LayerType } from "./types.ts";

/** What a `text_config` leaves out: class defaults of transformers 5.18 (`GemmaConfig`, `Gemma2Config`). */
const DEFAULTS = {
  gemma: { hidden: 3072, intermediate: 24576, layers: 28, heads: 16, keyValueHeads: 16 },
  gemma2: { hidden: 2304, intermediate: 9216, layers: 26, heads: 8, keyValueHeads: 4 },
} as const;

const VOCABULARY = 256_000;
const SOFTCAPS = { attention: 50, final: 30 } as const;
const WINDOW = 4096;

/** Reads the fields of a Gemma decoder. */
export function readGemma(fields: Fields, tieWordEmbeddings?: boolean): GemmaConfig {
  const modelType = fields.choice("model_type", "gemma", ["gemma", "gemma2"]);
  const missing = DEFAULTS[modelType];
  const numHiddenLayers = fields.integer("num_hidden_layers", missing.layers, LIMITS.layers);
  const headDim = fields.integer("head_dim", 256, LIMITS.headDim);
  const second = modelType === "gemma2";
  const slidingWindow = second
    ? orNone(fields, "sliding_window", () => fields.integer("sliding_window", WINDOW, LIMITS.positions))
    : null;
  refuseVariants(fields);
  const config: GemmaConfig = {
    modelType,
    vocabSize: fields.integer("vocab_size", VOCABULARY, LIMITS.vocabulary),
    hiddenSize: fields.integer("hidden_size", missing.hidden, LIMITS.width),
    intermediateSize: fields.integer("intermediate_size", missing.intermediate, LIMITS.width),
    numHiddenLayers,
    numAttentionHeads: fields.integer("num_attention_heads", missing.heads, LIMITS.heads),
    numKeyValueHeads: fields.integer("num_key_value_heads", missing.keyValueHeads, LIMITS.heads),
    headDim,
    rmsNormEps: fields.positive("rms_norm_eps", 1e-6),
    ropeTheta: readRope(fields),
    maxPositionEmbeddings: fields.integer("max_position_embeddings", 8192, LIMITS.positions),
    queryPreAttnScalar: second ? fields.positive("query_pre_attn_scalar", 256) : headDim,
    attnLogitSoftcapping: second ? readSoftcap(fields, "attn_logit_softcapping", SOFTCAPS.attention) : null,
    finalLogitSoftcapping: second ? readSoftcap(fields, "final_logit_softcapping", SOFTCAPS.final) : null,
    slidingWindow,
    layerTypes: readLayerTypes(fields, numHiddenLayers, slidingWindow !== null),
    hiddenActivation: "gelu_pytorch_tanh",
    tieWordEmbeddings: tieWordEmbeddings ?? fields.flag("tie_word_embeddings", true),
  };
  if (fields.clean && config.numAttentionHeads % config.numKeyValueHeads !== 0) {
    fields.wrong(
      "num_key_value_heads",
      config.numKeyValueHeads,
      `a divisor of num_attention_heads, ${config.numAttentionHeads}`,
    );
  }
  if (headDim % 2 !== 0) fields.wrong("head_dim", headDim, "an even number: rotary embedding turns pairs");
  return config;
}

/** Null where the file says null: Gemma 2 understands that as "without". */
function orNone<T>(fields: Fields, key: string, read: () => T): T | null {
  return fields.isNull(key) ? null : read();
}

function readSoftcap(fields: Fields, key: string, missing: number): number | null {
  return orNone(fields, key, () => fields.positive(key, missing));
}

/** `rope_theta`, or the same inside `rope_parameters` (transformers 5). */
function readRope(fields: Fields): number {
  const nested = fields.inside("rope_parameters");
  nested?.choice(["rope_type", "type"], "default", ["default"]);
  fields.inside("rope_scaling")?.choice(["rope_type", "type"], "default", ["default"]);
  const theta = nested?.positive("rope_theta", 10_000);
  const flat = fields.positive("rope_theta", theta ?? 10_000);
  if (theta !== undefined && nested?.has("rope_theta") && flat !== theta) {
    fields.wrong("rope_theta", flat, `what rope_parameters.rope_theta, its other spelling, says: ${theta}`);
  }
  return flat;
}

/** Without a list, layers of Gemma 2 slide and see everything in turns, the first slides; Gemma 1 sees everything. */
function readLayerTypes(fields: Fields, layers: number, slides: boolean): readonly LayerType[] {
  const rule = Array.from({ length: layers }, (_, i): LayerType =>
    slides && i % 2 === 0 ? "sliding_attention" : "full_attention",
  );
  const given = fields.raw("layer_types");
  if (given === undefined) return rule;
  if (Array.isArray(given) && given.length === layers && given.every(isLayerType)) return slides ? [...given] : rule;
  fields.wrong(
    "layer_types",
    given,
    `a list of num_hidden_layers = ${layers} entries, each "full_attention" or "sliding_attention"`,
  );
  return rule;
}

function isLayerType(value: unknown): value is LayerType {
  return value === "full_attention" || value === "sliding_attention";
}

/**
 * Gemma's activation is the tanh approximation whatever `hidden_act` says: "gelu" there is a known slip of the first release
 * that transformers rewrites. Everything that would be another network is refused.
 */
function refuseVariants(fields: Fields): void {
  fields.choice("hidden_act", "gelu_pytorch_tanh", ["gelu_pytorch_tanh", "gelu"]);
  fields.choice("hidden_activation", "gelu_pytorch_tanh", ["gelu_pytorch_tanh"]);
  if (fields.flag("attention_bias", false))
    fields.wrong("attention_bias", true, "false: no released Gemma has attention biases");
}
