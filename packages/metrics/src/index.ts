export { PaliGemmaError } from "./errors.ts";
export { normaliseVqaAnswer, vqaAccuracy } from "./vqa.ts";
export { anls, editDistance, normalisedEditDistance, type AnlsOptions } from "./edit-distance.ts";
export {
  countMatch,
  meanByGroup,
  relaxedMatch,
  simpleVqaAccuracy,
  type MatchOptions,
  type SimpleAccuracy,
} from "./matches.ts";
export { captionWords } from "./caption-words.ts";
export { cider, type CaptionExample, type CiderScores } from "./cider.ts";
export {
  referringScores,
  type BoxCorners,
  type MaskPixels,
  type ReferringExample,
  type ReferringScores,
} from "./referring.ts";
export type { CocoBox, CocoRuns } from "./coco-iou.ts";
export {
  cocoScores,
  type CocoDetection,
  type CocoImage,
  type CocoOptions,
  type CocoScores,
  type CocoTruth,
} from "./coco.ts";
export { fieldF1, type FieldScores, type FieldValue } from "./fields.ts";
