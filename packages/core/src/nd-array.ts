import { allocate, bitsOf, type ArrayTypes, type DType } from "./dtype.ts";
import { PaliGemmaError } from "./errors.ts";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "./half.ts";

/** A dense row-major array in host memory. A scalar has the shape `[]`. */
export interface NdArray<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: ArrayTypes[D];
}

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/** `data` as an array of `shape`; throws `core/shape` where the counts differ. The data is not copied. */
export function ndArray<D extends DType>(dtype: D, shape: readonly number[], data: ArrayTypes[D]): NdArray<D> {
  const slots = bitsOf(dtype) === 4 ? Math.ceil(sizeOf(shape) / 2) : sizeOf(shape);
  if (data.length !== slots) {
    throw new PaliGemmaError(
      "core/shape",
      `data has ${data.length} elements, the shape [${shape.join(", ")}] of ${dtype} needs ${slots}`,
    );
  }
  return { dtype, shape, data };
}

/** Zeros of `shape`. */
export function zeros<D extends DType>(dtype: D, shape: readonly number[]): NdArray<D> {
  return { dtype, shape, data: allocate(dtype, sizeOf(shape)) };
}

/** Any floating-point or integer array (not 4-bit) as float32; a float32 array is returned as it is. */
export function toFloat32(array: NdArray): NdArray<"float32"> {
  if (array.dtype === "float32") return array as NdArray<"float32">;
  if (bitsOf(array.dtype) === 4)
    throw new PaliGemmaError("core/dtype", `${array.dtype} is packed and has no value by itself`);
  const read = array.dtype === "float16" ? fromFloat16 : array.dtype === "bfloat16" ? fromBfloat16 : Number;
  const data = new Float32Array(array.data.length);
  for (let i = 0; i < data.length; i++) data[i] = read(array.data[i] as never);
  return { dtype: "float32", shape: array.shape, data };
}

/** float32 values rounded to a floating-point format. */
export function fromFloat32<D extends "float32" | "float16" | "bfloat16">(
  array: NdArray<"float32">,
  dtype: D,
): NdArray<D> {
  if (dtype === "float32") return array as NdArray as NdArray<D>;
  const write = dtype === "float16" ? toFloat16 : toBfloat16;
  const data = new Uint16Array(array.data.length);
  for (let i = 0; i < data.length; i++) data[i] = write(array.data[i]!);
  return { dtype, shape: array.shape, data } as NdArray as NdArray<D>;
}
