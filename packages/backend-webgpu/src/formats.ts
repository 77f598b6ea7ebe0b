import { PaliGemmaError, type DType } from "@paligemma/core";
import type * as Ort from "onnxruntime-common";

/** Formats of tensors in GPU buffers that the runtime takes. */
export type GpuFormat = Ort.Tensor.GpuBufferDataTypes;

const GPU_FORMATS: ReadonlySet<DType> = new Set<DType>([
  "float32",
  "float16",
  "int32",
  "int64",
  "uint32",
  "uint8",
  "bool",
]);

/** `dtype` as the runtime calls it in GPU buffers; throws `backend/dtype` for the formats it has none for. */
export function gpuFormat(dtype: DType): GpuFormat {
  if (GPU_FORMATS.has(dtype)) return dtype as GpuFormat;
  throw new PaliGemmaError(
    "backend/dtype",
    `tensors of ${dtype} cannot live on this GPU; possible are ${[...GPU_FORMATS].join(", ")}`,
  );
}
