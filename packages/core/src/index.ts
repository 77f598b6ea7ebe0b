export { PaliGemmaError, isPaliGemmaError, type ErrorCode } from "./errors.ts";
export { DTYPES, allocate, bitsOf, bytesFor, viewAs, type ArrayTypes, type DType } from "./dtype.ts";
export { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "./half.ts";
export { fromFloat32, ndArray, sizeOf, toFloat32, zeros, type NdArray } from "./nd-array.ts";
export type { OnProgress, Progress } from "./progress.ts";
export { nearest, unknownKeys } from "./suggest.ts";
