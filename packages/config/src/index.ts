export { LIMITS } from "./limits.ts";
export { parseConfig, parseGemmaConfig, parseSiglipConfig } from "./parse.ts";
export { presets, type PresetName } from "./presets.ts";
export { parameterCount, presetOfTensors, releasedTensors } from "./released-tensors.ts";
export { formatConfig } from "./format.ts";
export { configToJson, gemmaToJson, siglipToJson } from "./to-json.ts";
export type { GemmaConfig, LayerType, PaliGemmaConfig, SiglipConfig, WeightDType } from "./types.ts";
