import { bytesFor, PaliGemmaError, sizeOf, type NdArray } from "@paligemma/core";
import { formatShape } from "@paligemma/graph";

/** Throws `backend/shape` unless `shape` is a list of whole sizes, none negative, whose product is a safe integer. */
export function checkShape(shape: readonly number[], what: string): void {
  if (shape.some((size) => !Number.isSafeInteger(size) || size < 0) || !Number.isSafeInteger(sizeOf(shape))) {
    throw new PaliGemmaError(
      "backend/shape",
      `${what} has the shape ${formatShape(shape)}; sizes must be whole, not negative, and their product a safe integer`,
    );
  }
}

/** The bytes of an array of the caller, not copied. Throws `backend/shape` where they are not as many as its shape says. */
export function bytesOf({ dtype, shape, data }: NdArray, what: string): Uint8Array {
  checkShape(shape, what);
  const needed = bytesFor(dtype, sizeOf(shape));
  if (data.byteLength !== needed) {
    throw new PaliGemmaError(
      "backend/shape",
      `${what} has ${data.byteLength} bytes, its shape ${formatShape(shape)} of ${dtype} needs ${needed}`,
    );
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
