export type { AdapterConfig } from "./adapters/config.ts";
export { mergeAdapter, type Merged } from "./adapters/merge.ts";
export { openAdapter, type Adapter, type LowRankUpdate } from "./adapters/open.ts";
export type { ByteSource } from "./byte-source.ts";
export type { Checkpoint, TensorRef } from "./checkpoint.ts";
export { LIMITS } from "./limits.ts";
export { matchTensors, type MatchOptions } from "./match.ts";
export type { ModelFiles } from "./model-files.ts";
export { canonicalName, canonicalNames } from "./names.ts";
export { fromBigVision, type FromBigVisionOptions } from "./npz/from-big-vision.ts";
export { openNpz } from "./npz/open.ts";
export { toBigVision, type BigVisionSizes } from "./npz/to-big-vision.ts";
export { openModel, weightPaths, type OpenModelOptions } from "./open-model.ts";
export {
  findQuantized,
  panelRows,
  quantizedFits,
  quantizedParts,
  tensorsOf,
  type QuantizedFormat,
  type QuantizedPart,
  type QuantizedParts,
  type QuantizedTensor,
} from "./quantized.ts";
export { openSafetensors } from "./safetensors/open.ts";
export { planSafetensors, safetensorsBytes, type SafetensorsPlan } from "./safetensors/write.ts";
export { blobSource, joinSources, memorySource, sliceSource } from "./sources.ts";
export {
  castTensor,
  checkpointOf,
  computedTensor,
  ndTensor,
  readTensor,
  tensorPieces,
  type FloatDType,
} from "./tensors.ts";
export { urlSource, type UrlSourceOptions } from "./url-source.ts";
