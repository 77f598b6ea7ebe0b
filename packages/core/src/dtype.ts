import { PaliGemmaError } from "./errors.ts";

const BITS = {
  float64: 64,
  float32: 32,
  float16: 16,
  bfloat16: 16,
  int64: 64,
  int32: 32,
  int16: 16,
  int8: 8,
  int4: 4,
  uint64: 64,
  uint32: 32,
  uint16: 16,
  uint8: 8,
  uint4: 4,
  bool: 8,
} as const;

/** Number formats of arrays, checkpoints and graphs. */
export type DType = keyof typeof BITS;

/** All number formats, in a fixed order. */
export const DTYPES: readonly DType[] = Object.keys(BITS) as DType[];

/** Bits one element takes. */
export function bitsOf(dtype: DType): number {
  return BITS[dtype];
}

/** Bytes that `count` elements take; 4-bit elements are packed two to a byte, the last byte padded. */
export function bytesFor(dtype: DType, count: number): number {
  return Math.ceil((count * BITS[dtype]) / 8);
}

/** Typed array that holds a format in JavaScript: half floats as their bit patterns, 4-bit integers packed. */
export interface ArrayTypes {
  float64: Float64Array;
  float32: Float32Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int64: BigInt64Array;
  int32: Int32Array;
  int16: Int16Array;
  int8: Int8Array;
  int4: Uint8Array;
  uint64: BigUint64Array;
  uint32: Uint32Array;
  uint16: Uint16Array;
  uint8: Uint8Array;
  uint4: Uint8Array;
  bool: Uint8Array;
}

const CONSTRUCTORS = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  int4: Uint8Array,
  uint64: BigUint64Array,
  uint32: Uint32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
  uint4: Uint8Array,
  bool: Uint8Array,
} as const;

/** A zeroed typed array for `count` elements of `dtype`. */
export function allocate<D extends DType>(dtype: D, count: number): ArrayTypes[D] {
  const slots = BITS[dtype] === 4 ? Math.ceil(count / 2) : count;
  return new CONSTRUCTORS[dtype](slots) as ArrayTypes[D];
}

/** The same bytes as a typed array of `dtype`: a view where alignment allows it, else a copy. */
export function viewAs<D extends DType>(dtype: D, bytes: Uint8Array): ArrayTypes[D] {
  const constructor = CONSTRUCTORS[dtype];
  const width = constructor.BYTES_PER_ELEMENT;
  if (bytes.byteLength % width !== 0) {
    throw new PaliGemmaError(
      "core/bytes",
      `${bytes.byteLength} bytes are no whole number of ${dtype} elements of ${width} bytes`,
    );
  }
  // Not bytes.slice(): that of a Node Buffer shares its memory.
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);
  return new constructor(
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    aligned.byteLength / width,
  ) as ArrayTypes[D];
}
