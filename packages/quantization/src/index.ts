export {
  DEFAULT_VISION,
  QUANTIZED_DTYPES,
  quantizeCheckpoint,
  VISION_FORMATS,
  type QuantizedCheckpoint,
  type QuantizedDType,
  type QuantizedMatrix,
  type QuantizeOptions,
  type VisionFormat,
} from "./checkpoint.ts";
export { BLOCK_SIZES, dequantizeMatrix, quantizeMatrix, type OnFitted, type QuantizeMatrixOptions } from "./matrix.ts";
export { MOMENT_COLUMNS } from "./feedback.ts";
