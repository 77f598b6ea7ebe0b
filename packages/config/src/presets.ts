import type { GemmaConfig, LayerType, PaliGemmaConfig, WeightDType } from "./types.ts";

type Size = "paligemma-3b" | "paligemma2-3b" | "paligemma2-10b" | "paligemma2-28b";
type Resolution = 224 | 448 | 896;

/** A released size and resolution; `pt`, `mix` and `ft` checkpoints of it share one configuration. */
export type PresetName = `${Size}-${Resolution}`;

const GEMMA = {
  vocabSize: 257_216,
  headDim: 256,
  rmsNormEps: 1e-6,
  ropeTheta: 10_000,
  maxPositionEmbeddings: 8192,
  queryPreAttnScalar: 256,
  hiddenActivation: "gelu_pytorch_tanh",
  tieWordEmbeddings: true,
} as const;

const gemma1_2b: GemmaConfig = {
  ...GEMMA,
  modelType: "gemma",
  hiddenSize: 2048,
  intermediateSize: 16384,
  numHiddenLayers: 18,
  numAttentionHeads: 8,
  numKeyValueHeads: 1,
  attnLogitSoftcapping: null,
  finalLogitSoftcapping: null,
  slidingWindow: null,
  layerTypes: Array.from({ length: 18 }, () => "full_attention"),
};

type Widths = Pick<
  GemmaConfig,
  "hiddenSize" | "intermediateSize" | "numHiddenLayers" | "numAttentionHeads" | "numKeyValueHeads"
> &
  Partial<Pick<GemmaConfig, "headDim" | "queryPreAttnScalar">>;

function gemma2(widths: Widths): GemmaConfig {
  return {
    ...GEMMA,
    modelType: "gemma2",
    attnLogitSoftcapping: 50,
    finalLogitSoftcapping: 30,
    slidingWindow: 4096,
    layerTypes: Array.from({ length: widths.numHiddenLayers }, (_, i): LayerType =>
      i % 2 === 0 ? "sliding_attention" : "full_attention",
    ),
    ...widths,
  };
}

/** SigLIP So400m/14 and one of the decoders. */
function paligemma(text: GemmaConfig, imageSize: Resolution, dtype: WeightDType): PaliGemmaConfig {
  return {
    modelType: "paligemma",
    text,
    vision: {
      modelType: "siglip_vision_model",
      hiddenSize: 1152,
      intermediateSize: 4304,
      numHiddenLayers: 27,
      numAttentionHeads: 16,
      numChannels: 3,
      imageSize,
      patchSize: 14,
      layerNormEps: 1e-6,
      hiddenAct: "gelu_pytorch_tanh",
    },
    projectionDim: text.hiddenSize,
    numImageTokens: (imageSize / 14) ** 2,
    imageTokenIndex: 257_152,
    bosTokenId: 2,
    eosTokenIds: [1],
    padTokenId: 0,
    dtype,
  };
}

const gemma2_2b = gemma2({
  hiddenSize: 2304,
  intermediateSize: 9216,
  numHiddenLayers: 26,
  numAttentionHeads: 8,
  numKeyValueHeads: 4,
});

const gemma2_9b = gemma2({
  hiddenSize: 3584,
  intermediateSize: 14336,
  numHiddenLayers: 42,
  numAttentionHeads: 16,
  numKeyValueHeads: 8,
});

const gemma2_27b = gemma2({
  hiddenSize: 4608,
  intermediateSize: 36864,
  numHiddenLayers: 46,
  numAttentionHeads: 32,
  numKeyValueHeads: 16,
  headDim: 128,
  // Hidden size over heads, not the head's width as in the smaller ones.
  queryPreAttnScalar: 144,
});

/**
 * The configuration of every released size and resolution, in the precision of its main revision. From the released
 * conversion scripts: three sizes of PaliGemma 2 and one of PaliGemma 1, at 224, 448 and 896 pixels.
 */
export const presets: Readonly<Record<PresetName, PaliGemmaConfig>> = {
  "paligemma-3b-224": paligemma(gemma1_2b, 224, "float32"),
  "paligemma-3b-448": paligemma(gemma1_2b, 448, "float32"),
  "paligemma-3b-896": paligemma(gemma1_2b, 896, "float32"),
  "paligemma2-3b-224": paligemma(gemma2_2b, 224, "bfloat16"),
  "paligemma2-3b-448": paligemma(gemma2_2b, 448, "bfloat16"),
  "paligemma2-3b-896": paligemma(gemma2_2b, 896, "bfloat16"),
  "paligemma2-10b-224": paligemma(gemma2_9b, 224, "bfloat16"),
  "paligemma2-10b-448": paligemma(gemma2_9b, 448, "bfloat16"),
  "paligemma2-10b-896": paligemma(gemma2_9b, 896, "bfloat16"),
  "paligemma2-28b-224": paligemma(gemma2_27b, 224, "bfloat16"),
  "paligemma2-28b-448": paligemma(gemma2_27b, 448, "bfloat16"),
  "paligemma2-28b-896": paligemma(gemma2_27b, 896, "bfloat16"),
};
