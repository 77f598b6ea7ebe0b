import {
  allocate,
  bitsOf,
  bytesFor,
  fromFloat32,
  nearest,
  PaliGemmaError,
  sizeOf,
  toFloat32,
  viewAs,
  type DType,
  type NdArray,
} from "@paligemma/core";
import type { ByteSource } from "./byte-source.ts";
import type { Checkpoint, TensorRef } from "./checkpoint.ts";
import { LIMITS } from "./limits.ts";
import { checkRange } from "./sources.ts";

/** The values of a tensor, read now. */
export async function readTensor(ref: TensorRef, signal?: AbortSignal): Promise<NdArray> {
  const { dtype, shape, source, start, end } = ref;
  if (end - start <= LIMITS.pieceBytes)
    return { dtype, shape, data: viewAs(dtype, await source.read(start, end, signal)) };
  // Piece by piece: one Uint8Array cannot hold the 4.7 GB that the largest token table takes in float32.
  const data = allocate(dtype, sizeOf(shape));
  let at = 0;
  for await (const piece of tensorPieces(ref, signal)) {
    bytesOf(data, at, at + piece.byteLength).set(piece);
    at += piece.byteLength;
  }
  return { dtype, shape, data };
}

/** The bytes of a tensor, a piece at a time. */
export async function* tensorPieces(ref: TensorRef, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = ref.start; at < ref.end; at += LIMITS.pieceBytes) {
    yield await ref.source.read(at, Math.min(ref.end, at + LIMITS.pieceBytes), signal);
  }
}

/** A checkpoint of these tensors. Throws `weights/duplicate` where two have one name. */
export function checkpointOf(refs: Iterable<TensorRef>, metadata: Readonly<Record<string, string>> = {}): Checkpoint {
  const tensors = new Map<string, TensorRef>();
  for (const ref of refs) {
    const other = tensors.get(ref.name);
    if (other) {
      throw new PaliGemmaError(
        "weights/duplicate",
        `${ref.name} is in ${other.source.name} and in ${ref.source.name}; remove one of the files`,
      );
    }
    tensors.set(ref.name, ref);
  }
  return {
    tensors,
    metadata,
    read: async (name, signal) => {
      const ref = tensors.get(name);
      if (ref) return readTensor(ref, signal);
      const meant = nearest(name, tensors.keys());
      throw new PaliGemmaError(
        "weights/missing",
        `no tensor ${name}${meant ? `; the nearest is ${meant}` : ` among ${tensors.size}`}`,
      );
    },
  };
}

/** An array in memory as a tensor. The data is not copied until it is read. */
export function ndTensor(name: string, array: NdArray): TensorRef {
  const { dtype, shape, data } = array;
  const source: ByteSource = {
    name,
    size: data.byteLength,
    read: async (start, end, signal) => {
      checkRange(source, start, end);
      signal?.throwIfAborted();
      return bytesOf(data, start, end).slice();
    },
  };
  return { name, dtype, shape, source, start: 0, end: source.size };
}

/** A view of bytes `[start, end)` of an array. */
function bytesOf(data: ArrayBufferView, start: number, end: number): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset + start, end - start);
}

/**
 * A tensor whose values are computed when they are first read, and let go when the last byte was read: whoever reads a
 * checkpoint tensor by tensor holds one of them in memory. `compute` must give an array of `dtype` and `shape`.
 */
export function computedTensor(
  name: string,
  dtype: DType,
  shape: readonly number[],
  compute: (signal?: AbortSignal) => Promise<NdArray>,
): TensorRef {
  const size = bytesFor(dtype, sizeOf(shape));
  let held: Promise<NdArray> | undefined;
  const source: ByteSource = {
    name: `${name} (computed)`,
    size,
    read: async (start, end, signal) => {
      checkRange(source, start, end);
      held ??= compute(signal);
      try {
        const { data } = await held;
        if (data.byteLength !== size)
          throw new PaliGemmaError(
            "weights/range",
            `${name} was computed as ${data.byteLength} bytes, ${dtype} [${shape.join(", ")}] has ${size}`,
          );
        if (end === size) held = undefined;
        return bytesOf(data, start, end).slice();
      } catch (error) {
        held = undefined;
        throw error;
      }
    },
  };
  return { name, dtype, shape, source, start: 0, end: size };
}

/** Formats a tensor of weights can be cast between. */
export type FloatDType = "float32" | "float16" | "bfloat16";

const FLOATS: readonly DType[] = ["float32", "float16", "bfloat16", "float64"];

/**
 * The tensor rounded to another floating-point format while it is read, piece by piece: nearest, ties to even. Integer
 * tensors throw `weights/dtype`. A tensor that has the format already is returned as it is, with its file.
 */
export function castTensor(ref: TensorRef, dtype: FloatDType): TensorRef {
  if (ref.dtype === dtype) return ref;
  if (!FLOATS.includes(ref.dtype))
    throw new PaliGemmaError(
      "weights/dtype",
      `${ref.name} is ${ref.dtype}; only floating-point tensors can become ${dtype}`,
    );
  const from = bitsOf(ref.dtype) / 8;
  const to = bitsOf(dtype) / 8;
  const size = ((ref.end - ref.start) / from) * to;
  const source: ByteSource = {
    name: `${ref.source.name} as ${dtype}`,
    size,
    read: async (start, end, signal) => {
      checkRange(source, start, end);
      const first = Math.floor(start / to);
      const last = Math.ceil(end / to);
      const bytes = await ref.source.read(ref.start + first * from, ref.start + last * from, signal);
      const values = toFloat32({ dtype: ref.dtype, shape: [last - first], data: viewAs(ref.dtype, bytes) });
      const { data } = fromFloat32(values, dtype);
      return bytesOf(data, start - first * to, end - first * to);
    },
  };
  return { name: ref.name, dtype, shape: ref.shape, source, start: 0, end: size };
}
