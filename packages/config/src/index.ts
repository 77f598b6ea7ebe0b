export type { GemmaConfig, LayerType, PaliGemmaConfig, SiglipConfig, WeightDType } from "./types.ts";
