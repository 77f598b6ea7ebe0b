export { PROJECTOR_PREFIX, imageFeatures, visionGraph } from "./network.ts";
export type { AdapterSet } from "./adapters.ts";
export { createModel, type CheckpointModel, type CreateModelOptions, type PaliGemmaModel } from "./model.ts";
export { createExportModel, type ExportModelOptions } from "./export-model.ts";
export type { ForwardInputs, ForwardOptions, ForwardOutputs } from "./forward.ts";
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
export type { FoundObject } from "./confidences.ts";
export type { RankedAnswer, ScoreAnswersOptions } from "./score-answers.ts";
export { prompts } from "./prompts.ts";
export { SELF_CHECK_FILE, recordSelfCheck, type SelfCheck } from "./self-check.ts";
export { calibrate, type CalibrateOptions, type CalibrationExample } from "./calibrate/calibrate.ts";
export { maskCodecOf, readConfig, readProcessor, type MaybeProcessor } from "./files.ts";
