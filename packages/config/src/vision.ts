import type { Fields } from "./fields.ts";
import { LIMITS } from "./limits.ts";
import type { SiglipConfig } from "./types.ts";

/** Sizes for fields that are absent. */
export interface VisionDefaults {
  readonly hidden: number;
  readonly intermediate: number;
  readonly layers: number;
  readonly heads: number;
  readonly patch: number;
}

/** Class defaults of `SiglipVisionConfig` in transformers 5.18. */
export const SIGLIP_DEFAULTS: VisionDefaults = { hidden: 768, intermediate: 3072, layers: 12, heads: 12, patch: 16 };

/** What `PaliGemmaConfig` of transformers 5.18 assumes where the whole `vision_config` is absent. */
export const ABSENT_VISION: VisionDefaults = { hidden: 1152, intermediate: 4096, layers: 27, heads: 16, patch: 14 };

/** Reads the fields of a SigLIP vision encoder. */
export function readSiglip(fields: Fields, missing: VisionDefaults): SiglipConfig {
  fields.choice("model_type", "siglip_vision_model", ["siglip_vision_model"]);
  if (fields.flag("vision_use_head", false)) {
    fields.wrong("vision_use_head", true, "false: PaliGemma reads the patches, not the pooled head");
  }
  const config: SiglipConfig = {
    modelType: "siglip_vision_model",
    hiddenSize: fields.integer("hidden_size", missing.hidden, LIMITS.width),
    intermediateSize: fields.integer("intermediate_size", missing.intermediate, LIMITS.width),
    numHiddenLayers: fields.integer("num_hidden_layers", missing.layers, LIMITS.layers),
    numAttentionHeads: fields.integer("num_attention_heads", missing.heads, LIMITS.heads),
    numChannels: fields.integer("num_channels", 3, LIMITS.channels),
    imageSize: fields.integer("image_size", 224, LIMITS.imageSize),
    patchSize: fields.integer("patch_size", missing.patch, LIMITS.imageSize),
    layerNormEps: fields.positive("layer_norm_eps", 1e-6),
    hiddenAct: fields.choice("hidden_act", "gelu_pytorch_tanh", ["gelu_pytorch_tanh"]),
  };
  if (!fields.clean) return config;
  if (config.hiddenSize % config.numAttentionHeads !== 0) {
    fields.wrong("num_attention_heads", config.numAttentionHeads, `a divisor of hidden_size, ${config.hiddenSize}`);
  }
  if (config.patchSize > config.imageSize) {
    fields.wrong("patch_size", config.patchSize, `at most image_size, ${config.imageSize}`);
  } else if (imageTokens(config) > LIMITS.imageTokens) {
    fields.wrong(
      "patch_size",
      config.patchSize,
      `one that gives at most ${LIMITS.imageTokens} patches of an image of ${config.imageSize} pixels`,
    );
  }
  return config;
}

/** Patches of one image: those that fit whole, as the convolution without padding takes them. */
export function imageTokens(config: SiglipConfig): number {
  return Math.floor(config.imageSize / config.patchSize) ** 2;
}
