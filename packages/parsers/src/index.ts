export { PaliGemmaError } from "./errors.ts";
export {
  boxArea,
  boxIou,
  fromPixels,
  isValidBox,
  toPixels,
  type Box,
  type ImageSize,
  type PixelRounding,
} from "./boxes.ts";
export {
  LOC_COUNT,
  LOCS_PER_BOX,
  PALIGEMMA_IDS,
  SEG_COUNT,
  SEGS_PER_MASK,
  binToCoordinate,
  coordinateToBin,
  locToken,
  markupIds,
  segToken,
  type BinDivisor,
  type MarkupIds,
} from "./markup.ts";
export type { LabelSide } from "./grammar.ts";
export type { Span } from "./lexer.ts";
export {
  parseDetectionIds,
  parseDetections,
  type Detection,
  type ParseDetectionIdsOptions,
  type ParseDetectionOptions,
  type ParsedDetection,
  type ParsedDetections,
} from "./detections.ts";
export {
  formatDetectionIds,
  formatDetections,
  type FormatDetectionIdsOptions,
  type FormatDetectionOptions,
} from "./format-detections.ts";
