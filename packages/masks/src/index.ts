export { createMaskCodec, type MaskCodec, type MaskCodecOptions, type MaskDecoder } from "./codec.ts";
export {
  CODEC_SHAPES,
  CODES_PER_MASK,
  CODE_COUNT,
  OFFICIAL_SHA256,
  RASTER_SIDE,
  type CodecTensor,
  type CodecTensors,
} from "./codec-layout.ts";
export { readCodecFile, writeSafetensors } from "./codec-files.ts";
export { loadMaskCodec, type CodecSource, type LoadMaskCodecOptions, type LoadedMaskCodec } from "./load-codec.ts";
export {
  emptyMask,
  intersectionArea,
  maskArea,
  maskBounds,
  maskBox,
  maskIou,
  toBinary,
  unionByLabel,
  unionMasks,
  type Mask,
  type PixelRectangle,
  type SoftMask,
} from "./mask.ts";
export {
  boxPixels,
  placeMask,
  placeSoftMask,
  rasterFromMask,
  type ImageSize,
  type MaskSemantics,
  type NormalisedBox,
  type PlaceMaskOptions,
} from "./place.ts";
export {
  decodeSegments,
  encodeSegments,
  placeSegments,
  type CodedObject,
  type MaskedObject,
  type Segment,
} from "./segments.ts";
export { compressRle, decompressRle, maskFromRle, rleArea, rleFromMask, type CompressedRle, type Rle } from "./rle.ts";
export { maskFromPolygons, polygonsFromMask, ringArea, type Polygon, type PolygonOptions } from "./polygons.ts";
export { cutOut, type CutOutOptions, type Pixels, type RgbaPixels } from "./cut-out.ts";
