export { number, oneOf, regex, yesNo } from "./answers.ts";
export {
  ANY,
  type CharacterSet,
  characterSet,
  charactersOf,
  complement,
  intersection,
  union,
  without,
} from "./character-set.ts";
export { compile } from "./compile.ts";
export { detections, type DetectionsOptions, type DetectionsState, segments } from "./detections.ts";
export { donut, type DonutShape } from "./donut.ts";
export {
  characters,
  choice,
  type Grammar,
  list,
  optional,
  repeat,
  rule,
  type Rule,
  sequence,
  text,
  tokenRange,
  tokens,
} from "./grammar.ts";
export { jsonSchema, type JsonSchema, type SchemaWithJson } from "./json-schema.ts";
export { literal } from "./literal.ts";
export type { NumberRange } from "./number-grammar.ts";
export type { AutomatonState } from "./states.ts";
export { createVocabulary, sentencePieceVocabulary, type Vocabulary, type VocabularyOptions } from "./vocabulary.ts";
export type { Constraint, TokenSet } from "../constraint.ts";
