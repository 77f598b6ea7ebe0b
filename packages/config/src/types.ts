/** Number formats a `config.json` may name for its weights. */
export type WeightDType = "float32" | "float16" | "bfloat16";

/** Where a decoder layer may look: the whole past, or the last `slidingWindow` positions of it. */
export type LayerType = "full_attention" | "sliding_attention";

/** A Gemma decoder, every default filled. Names are those of `text_config`, in camelCase. */
export interface GemmaConfig {
  readonly modelType: "gemma" | "gemma2";
  /** Rows of the token table, padding rows included. */
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  /** Divides `numAttentionHeads`; 1 is multi-query attention. */
  readonly numKeyValueHeads: number;
  /** Even, because rotary embedding turns pairs. Not always `hiddenSize / numAttentionHeads`. */
  readonly headDim: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly maxPositionEmbeddings: number;
  /** Scores are multiplied by `queryPreAttnScalar ** -0.5`; Gemma 1 has `headDim` here. */
  readonly queryPreAttnScalar: number;
  /** `c` of `c · tanh(scores / c)`, applied before the mask; null in Gemma 1. */
  readonly attnLogitSoftcapping: number | null;
  /** `c` of `c · tanh(logits / c)`; null in Gemma 1. */
  readonly finalLogitSoftcapping: number | null;
  /** Positions a `sliding_attention` layer sees; null where no layer slides. */
  readonly slidingWindow: number | null;
  /** One per layer. */
  readonly layerTypes: readonly LayerType[];
  readonly hiddenActivation: "gelu_pytorch_tanh";
  /** True where the output layer is the token table; else `lm_head.weight` is a tensor of its own. */
  readonly tieWordEmbeddings: boolean;
}

/** A SigLIP vision encoder, every default filled. Names are those of `vision_config`, in camelCase. */
export interface SiglipConfig {
  readonly modelType: "siglip_vision_model";
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  /** Divides `hiddenSize`. */
  readonly numAttentionHeads: number;
  readonly numChannels: number;
  /** Pixels per side. */
  readonly imageSize: number;
  /** Pixels per side of a patch. */
  readonly patchSize: number;
  readonly layerNormEps: number;
  readonly hiddenAct: "gelu_pytorch_tanh";
}

/** A whole PaliGemma, every default filled. */
export interface PaliGemmaConfig {
  readonly modelType: "paligemma";
  readonly text: GemmaConfig;
  readonly vision: SiglipConfig;
  /** Width of the projected image features; always `text.hiddenSize`. */
  readonly projectionDim: number;
  /** Tokens one image becomes: `floor(imageSize / patchSize) ** 2`. */
  readonly numImageTokens: number;
  /** Id of the token whose embeddings the image features replace. */
  readonly imageTokenIndex: number;
  readonly bosTokenId: number;
  /** Ids that end a text: one, or several where the file has a list. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number;
  /** What the file says its weights are; null where it says nothing (the weights themselves decide). */
  readonly dtype: WeightDType | null;
}
