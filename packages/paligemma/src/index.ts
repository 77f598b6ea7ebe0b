export { PROJECTOR_PREFIX, imageFeatures, visionGraph } from "./network.ts";
export {
  createModel,
  type CreateModelOptions,
  type ForwardInputs,
  type ForwardOptions,
  type ForwardOutputs,
  type PaliGemmaModel,
} from "./model.ts";
export {
  DEFAULT_MAX_NEW_TOKENS,
  loadPaliGemma,
  type Detections,
  type Segment,
  type Segments,
  type LanguageOption,
  type LoadOptions,
  type PaliGemma,
} from "./paligemma.ts";
export type { Answer, AnswerOptions, Ask, FindOptions, Picture, Piece } from "./ask.ts";
export { IGNORE_INDEX } from "./loss.ts";
export { prompts } from "./prompts.ts";
export { maskCodecOf, readConfig, readProcessor, type MaybeProcessor } from "./files.ts";
