export { OPTION_NAMES } from "./check-options.ts";
export {
  type DetectionConfidence,
  detectionConfidences,
  type DetectionTokens,
  type RecordedAnswer,
} from "./confidence.ts";
export type { Constraint, TokenSet } from "./constraint.ts";
export type { DecodingCost } from "./decode.ts";
export { type GenerationErrorCode, PaliGemmaError } from "./errors.ts";
export type { StopEvent, StreamEvent, TokenEvent } from "./events.ts";
export { feedTokens } from "./feed-tokens.ts";
export { generate, type Generated, padSequences, stream } from "./generate.ts";
export type { GenerateOptions, LogitsProcessor, RowView, StoppingCriterion } from "./options.ts";
export { createRandom } from "./random.ts";
export type { StopReason } from "./row.ts";
export { score, type ScoredAnswer, type ScoreOptions } from "./score.ts";
export type { Logits, LogitsSource } from "./source.ts";
export { createDetokenizer, type Detokenizer, type TextPiece, textPieces } from "./text.ts";
export { transformScores } from "./transform-scores.ts";
