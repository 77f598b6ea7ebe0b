import { bytesFor, PaliGemmaError, sizeOf, type DType } from "@paligemma/core";
import { LIMITS } from "../limits.ts";

/** What a `.npy` header says. */
export interface NpyHeader {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Where the data begins. */
  readonly start: number;
}

/** Type strings of numpy → our formats. JAX stores bfloat16 as two bytes without a meaning, "V2". */
const DESCRIPTIONS: Readonly<Record<string, DType>> = {
  "<f8": "float64",
  "<f4": "float32",
  "<f2": "float16",
  "<V2": "bfloat16",
  "|V2": "bfloat16",
  "<i8": "int64",
  "<i4": "int32",
  "<i2": "int16",
  "|i1": "int8",
  "<u8": "uint64",
  "<u4": "uint32",
  "<u2": "uint16",
  "|u1": "uint8",
  "|b1": "bool",
};

/** "\x93NUMPY". */
const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** Longest header that is looked for: numpy pads to 64 bytes and writes some 80. */
export const NPY_HEADER_BYTES = 4096;

/** Reads the header at the beginning of a `.npy` file of `size` bytes. Throws `weights/npy`, `weights/dtype`. */
export function parseNpyHeader(bytes: Uint8Array, size: number, name: string): NpyHeader {
  const wrong = (what: string): PaliGemmaError => new PaliGemmaError("weights/npy", `${name}: ${what}`);
  if (!MAGIC.every((byte, i) => bytes[i] === byte) || bytes.byteLength < 12) throw wrong("it is no numpy array");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[6]!;
  if (version < 1 || version > 3) throw wrong(`it is of version ${version}; 1 to 3 are read`);
  const [begin, length] = version === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  const start = begin + length;
  if (start > bytes.byteLength) throw wrong(`its header has ${length} bytes, at most ${NPY_HEADER_BYTES} are read`);
  const text = new TextDecoder().decode(bytes.subarray(begin, start)).trim();
  const fields =
    /^\{\s*'descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([\d,\s]*)\),?\s*\}$/.exec(text);
  if (!fields) throw wrong(`its header is ${JSON.stringify(text.slice(0, 80))}; arrays of numbers are read`);
  const [, description = "", fortran, lengths = ""] = fields;
  const dtype = Object.hasOwn(DESCRIPTIONS, description) ? DESCRIPTIONS[description] : undefined;
  if (!dtype)
    throw new PaliGemmaError(
      "weights/dtype",
      `${name} is ${description.slice(0, 40)}; readable are ${Object.keys(DESCRIPTIONS).join(", ")}`,
    );
  const shape = lengths
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(Number);
  if (shape.length > LIMITS.rank || !Number.isSafeInteger(sizeOf(shape)) || !shape.every(Number.isSafeInteger))
    throw wrong(`its shape is (${lengths.slice(0, 80)})`);
  if (fortran === "True" && shape.length > 1)
    throw wrong("it is stored column by column; save it as numpy.ascontiguousarray makes it");
  const needed = start + bytesFor(dtype, sizeOf(shape));
  if (needed !== size)
    throw wrong(`it has ${size} bytes, ${dtype} [${shape.join(", ")}] with its header takes ${needed}`);
  return { dtype, shape, start };
}

/** A header for numpy, version 1, padded so that the data begins at a multiple of 64. Throws `weights/dtype`. */
export function npyHeader(dtype: DType, shape: readonly number[]): Uint8Array {
  const description =
    dtype === "bfloat16" ? "|V2" : Object.keys(DESCRIPTIONS).find((key) => DESCRIPTIONS[key] === dtype);
  if (!description) throw new PaliGemmaError("weights/dtype", `numpy has no ${dtype}`);
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const text = `{'descr': '${description}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64;
  const bytes = new Uint8Array(length).fill(0x20);
  bytes.set(MAGIC);
  bytes.set([1, 0, (length - 10) & 255, (length - 10) >> 8], 6);
  bytes.set(new TextEncoder().encode(text), 10);
  bytes[length - 1] = 0x0a;
  return bytes;
}
