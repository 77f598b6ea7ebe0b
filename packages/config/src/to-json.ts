import type { GemmaConfig, PaliGemmaConfig, SiglipConfig } from "./types.ts";

/** A configuration as a `config.json` that Hugging Face reads; `parseConfig` gives the same configuration back. */
export function configToJson(config: PaliGemmaConfig): Record<string, unknown> {
  return {
    architectures: ["PaliGemmaForConditionalGeneration"],
    model_type: config.modelType,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenIds.length === 1 ? config.eosTokenIds[0] : [...config.eosTokenIds],
    pad_token_id: config.padTokenId,
    hidden_size: config.text.hiddenSize,
    ignore_index: -100,
    image_token_index: config.imageTokenIndex,
    projection_dim: config.projectionDim,
    tie_word_embeddings: config.text.tieWordEmbeddings,
    ...(config.dtype === null ? {} : { torch_dtype: config.dtype }),
    text_config: { ...gemmaToJson(config.text), num_image_tokens: config.numImageTokens },
    vision_config: {
      ...siglipToJson(config.vision),
      num_image_tokens: config.numImageTokens,
      projection_dim: config.projectionDim,
    },
  };
}

/** A decoder's configuration as a `config.json`, which `parseGemmaConfig` reads. */
export function gemmaToJson(config: GemmaConfig): Record<string, unknown> {
  const common = {
    model_type: config.modelType,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headDim,
    hidden_activation: config.hiddenActivation,
    rms_norm_eps: config.rmsNormEps,
    rope_theta: config.ropeTheta,
    max_position_embeddings: config.maxPositionEmbeddings,
    tie_word_embeddings: config.tieWordEmbeddings,
  };
  if (config.modelType === "gemma") return { ...common, hidden_act: config.hiddenActivation };
  return {
    ...common,
    query_pre_attn_scalar: config.queryPreAttnScalar,
    attn_logit_softcapping: config.attnLogitSoftcapping,
    final_logit_softcapping: config.finalLogitSoftcapping,
    sliding_window: config.slidingWindow,
    layer_types: [...config.layerTypes],
  };
}

/** A vision encoder's configuration as a `config.json`, which `parseSiglipConfig` reads. */
export function siglipToJson(config: SiglipConfig): Record<string, unknown> {
  return {
    model_type: config.modelType,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    num_channels: config.numChannels,
    image_size: config.imageSize,
    patch_size: config.patchSize,
    layer_norm_eps: config.layerNormEps,
    hidden_act: config.hiddenAct,
    vision_use_head: false,
  };
}
