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
  parseSegmentIds,
  parseSegments,
  type Detection,
  type ParseDetectionIdsOptions,
  type ParseDetectionOptions,
  type ParsedDetection,
  type ParsedDetections,
  type ParsedSegment,
  type ParsedSegments,
} from "./detections.ts";
export {
  formatDetectionIds,
  formatDetections,
  type FormatDetectionIdsOptions,
  type FormatDetectionOptions,
} from "./format-detections.ts";
export { dropRepeats, suppressOverlaps, trailingRepeats, type Kept, type SuppressOptions } from "./repeats.ts";
export type { Parsed } from "./reading.ts";
export { formatNumber, formatYesNo, parseNumber, parseYesNo, type ParsedNumber } from "./answers.ts";
export {
  formatList,
  formatOcrLines,
  parseList,
  parseOcrLines,
  type ListItem,
  type ListSeparator,
  type OcrLine,
  type ParseListOptions,
} from "./lists.ts";
export { formatTags, parseTags, type FormatTagsOptions, type ParsedTags, type TagValue } from "./tags.ts";
export { parseJson, type JsonValue, type ParsedJson } from "./json.ts";
export {
  labelsOf,
  toCoco,
  toCocoResults,
  type AnnotatedImage,
  type CocoAnnotation,
  type CocoDataset,
  type CocoResult,
  type CocoRle,
  type OutlinedDetection,
} from "./export-coco.ts";
export {
  toLabelMe,
  toLabelStudio,
  toVoc,
  toYolo,
  type LabelMeFile,
  type LabelStudioOptions,
  type LabelStudioRegion,
  type LabelStudioTask,
} from "./export-annotations.ts";
