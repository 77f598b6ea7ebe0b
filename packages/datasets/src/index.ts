export { MAX_SHOWN, type BadRecord, type Origin, type Problem, type ProblemCode } from "./problems.ts";
export type {
  JsonValue,
  ObjectContent,
  Outline,
  Reading,
  TextContent,
  TrainingObject,
  TrainingRecord,
} from "./record.ts";
export { FIELD_NAMES, readFields, readJsonLine } from "./fields.ts";
export { readYoloLabels } from "./yolo.ts";
export { readCocoCategories, readCocoImage, type CocoElement } from "./coco.ts";
export { readVoc, type VocOptions } from "./voc.ts";
export { checkTexts, parseObjectPrompt, type ObjectPrompt } from "./check-text.ts";
export { outlineMask } from "./outline.ts";
export { seededRandom, shuffled } from "./seeded.ts";
export { writeExample, type EncodeMasks, type ExampleOptions, type WrittenExample } from "./write-example.ts";
