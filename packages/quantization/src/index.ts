export {
  QUANTIZED_DTYPES,
  quantizeCheckpoint,
  type QuantizedCheckpoint,
  type QuantizedDType,
  type QuantizedMatrix,
  type QuantizeOptions,
} from "./checkpoint.ts";
export { BLOCK_SIZES, dequantizeMatrix, quantizeMatrix, type OnFitted, type QuantizeMatrixOptions } from "./matrix.ts";
export { MOMENT_COLUMNS } from "./feedback.ts";
