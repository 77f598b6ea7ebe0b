export {
  createProcessor,
  MAX_BATCH,
  type Example,
  type ModelInputs,
  type Processor,
  type ProcessorOptions,
  type TextExample,
} from "./processor.ts";
export {
  createTextStream,
  createTokenizer,
  type DecodeOptions,
  type IdRange,
  type SpecialIds,
  type TextStream,
  type Tokenizer,
} from "./tokenizer.ts";
export type { TokenizerFiles } from "./tokenizer-files.ts";
export type { ProcessOptions, TextOptions } from "./options.ts";
export {
  parsePreprocessorConfig,
  preprocessorConfigToJson,
  processorConfigToJson,
  type ImageOptions,
  type PreprocessorConfig,
} from "./preprocessor-config.ts";
export { MAX_EDGE, MAX_PIXELS, checkImage, toRgb, type ImageLike } from "./image.ts";
export { resize, type ResizeOptions } from "./resize.ts";
export { normalize, type NormalizeOptions } from "./normalize.ts";
export { preprocessImages } from "./pixels.ts";
export type { Resample } from "./kernels.ts";
export { IMAGE_MARKER } from "./prompt.ts";
export { IGNORED_LABEL, type TextArrays } from "./collate.ts";
