import { fromFloat32, ndArray, type NdArray } from "@paligemma/core";
import { findQuantized, ndTensor, type QuantizedTensor, type TensorRef } from "@paligemma/weights";

/** Numbers around 0 as weights have them, the same for the same seed. */
export function gaussian(shape: readonly number[], seed: number, scale = 0.02): NdArray<"float32"> {
  let state = seed * 2_654_435_761 + 1;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 1) / 4_294_967_297;
  };
  const count = shape.reduce((product, n) => product * n, 1);
  const data = Float32Array.from(
    { length: count },
    () => scale * Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()),
  );
  return ndArray("float32", shape, data);
}

/** The same in another format. */
export function tensorOf(
  name: string,
  array: NdArray<"float32">,
  dtype: "float32" | "float16" | "bfloat16" = "float32",
): TensorRef {
  return ndTensor(name, fromFloat32(array, dtype));
}

/** The quantised matrix among these parts. */
export function among(parts: readonly TensorRef[], name: string): QuantizedTensor {
  return findQuantized({ tensors: new Map(parts.map((part) => [part.name, part])) }, name)!;
}

/** ‖a − b‖ / ‖a‖ */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += a[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}
