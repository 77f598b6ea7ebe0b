import { PaliGemmaError, bitsOf, sizeOf, type DType, type NdArray } from "@paligemma/core";
import { formatShape } from "@paligemma/graph";

/** Throws `backend/shape` for a shape whose dimensions or size are no whole numbers from 0 on. */
export function checkShape(dtype: DType, shape: readonly number[]): void {
  if (shape.every((size) => Number.isInteger(size) && size >= 0) && Number.isSafeInteger(sizeOf(shape) * 8)) return;
  throw new PaliGemmaError(
    "backend/shape",
    `${dtype} ${formatShape(shape)} is no shape of a tensor: dimensions are whole numbers from 0 on, and their product stays below 2^50`,
  );
}

/** Throws `backend/shape` for an array whose data are more or fewer than its shape says. */
export function checkArray({ dtype, shape, data }: NdArray, what: string): void {
  checkShape(dtype, shape);
  const slots = bitsOf(dtype) === 4 ? Math.ceil(sizeOf(shape) / 2) : sizeOf(shape);
  if (data.length === slots) return;
  throw new PaliGemmaError(
    "backend/shape",
    `${what} is ${dtype} ${formatShape(shape)}, which takes ${slots} elements, but has ${data.length}`,
  );
}

/** The shape of rows `[start, end)`; throws `backend/range` where they do not exist. */
export function rowsShape(shape: readonly number[], start: number, end: number): readonly number[] {
  const [length, ...rest] = shape;
  if (
    length !== undefined &&
    Number.isInteger(start) &&
    Number.isInteger(end) &&
    0 <= start &&
    start <= end &&
    end <= length
  )
    return [end - start, ...rest];
  throw new PaliGemmaError(
    "backend/range",
    `rows ${start} to ${end} of a tensor ${formatShape(shape)} do not exist; ${length === undefined ? "it has no rows" : `rows go from 0 to ${length}`}`,
  );
}

/** Throws `backend/shape` unless both are of one type and shape. */
export function checkCopy(from: { readonly dtype: DType; readonly shape: readonly number[] }, to: typeof from): void {
  if (from.dtype === to.dtype && from.shape.join() === to.shape.join()) return;
  throw new PaliGemmaError(
    "backend/shape",
    `${from.dtype} ${formatShape(from.shape)} cannot be copied into ${to.dtype} ${formatShape(to.shape)}`,
  );
}

/** `backend/overlap` */
export function overlap(): PaliGemmaError {
  return new PaliGemmaError(
    "backend/overlap",
    "the two windows to copy between overlap; copy through a tensor of its own",
  );
}

/** `backend/foreign` */
export function foreign(what: string): PaliGemmaError {
  return new PaliGemmaError(
    "backend/foreign",
    `${what} is no tensor of this backend; download it there and upload it here`,
  );
}

/** `backend/disposed`, for a tensor. */
export function gone(what: string): PaliGemmaError {
  return new PaliGemmaError(
    "backend/disposed",
    `${what}: the tensor was disposed, or its backend was; keep both until it is no longer used`,
  );
}

/** `backend/disposed`, for a backend. */
export function backendGone(): PaliGemmaError {
  return new PaliGemmaError("backend/disposed", "the backend was disposed; create a new one");
}

/** `backend/disposed`, for a session. */
export function sessionGone(graph: string): PaliGemmaError {
  return new PaliGemmaError("backend/disposed", `the graph ${graph} was disposed; compile it again`);
}
