export { PROJECTOR_PREFIX, imageFeatures, visionGraph } from "./network.ts";
export { createModel, type CreateModelOptions, type ForwardInputs, type ForwardOptions, type ForwardOutputs, type PaliGemmaModel } from "./model.ts";
export { IGNORE_INDEX } from "./loss.ts";
