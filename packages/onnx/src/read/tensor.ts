import { PaliGemmaError, bytesFor, sizeOf, viewAs, type DType, type NdArray } from "@paligemma/core";
import { ONNX_DTYPE } from "@paligemma/graph";
import { fieldsOf, type Field } from "./wire.ts";

/** onnx.proto, TensorProto */
export const TENSOR = {
  dims: 1,
  type: 2,
  floats: 4,
  int32s: 5,
  int64s: 7,
  name: 8,
  raw: 9,
  doubles: 10,
  uint64s: 11,
  external: 13,
  place: 14,
} as const;
const MAX_RANK = 16;

const DTYPES: ReadonlyMap<number, DType> = new Map(
  Object.entries(ONNX_DTYPE).map(([dtype, number]) => [number, dtype as DType]),
);

/** The number format that ONNX calls `number`. Throws `onnx/dtype`. */
export function dtypeOf(number: number, name: string): DType {
  const dtype = DTYPES.get(number);
  if (dtype) return dtype;
  throw new PaliGemmaError(
    "onnx/dtype",
    `${name} has numbers of ONNX's type ${number}; known are ${[...DTYPES].map(([n, d]) => `${n} (${d})`).join(", ")}`,
  );
}

/** What stands before the numbers of a tensor. */
export class TensorHead {
  name = "";
  dtype: DType = "float32";
  readonly shape: number[] = [];
  /** Key and value pairs of data outside of the file. */
  readonly external: Map<string, string> = new Map();

  /** Takes in a field whose bytes (of its range) are at hand; true if it was one of the head. */
  take({ number, value, start, end }: Field, bytes: (start: number, end: number) => Uint8Array, file: string): boolean {
    if (number === TENSOR.name) this.name = text(bytes(start, end));
    else if (number === TENSOR.type) this.dtype = dtypeOf(Number(value), `${this.name || "a tensor"} of ${file}`);
    else if (number === TENSOR.dims)
      this.shape.push(...(start === end ? [Number(value)] : varints(bytes(start, end)).map(Number)));
    else if (number === TENSOR.external) this.#entry(bytes(start, end), file);
    else return number === TENSOR.place;
    if (this.shape.length > MAX_RANK || this.shape.some((d) => !Number.isSafeInteger(d) || d < 0))
      throw new PaliGemmaError(
        "onnx/format",
        `${this.name} of ${file} is said to be [${this.shape.slice(0, MAX_RANK).join(", ")}]`,
      );
    return true;
  }

  #entry(bytes: Uint8Array, file: string): void {
    const [key, value] = [...fieldsOf(bytes, file)].map(({ start, end }) => text(bytes.subarray(start, end)));
    if (key !== undefined && value !== undefined) this.external.set(key, value);
  }
}

/** The numbers of a small tensor, which stand raw or as one of several lists. */
export function tensorData(head: TensorHead, lists: ReadonlyMap<number, Uint8Array>, file: string): NdArray {
  const { dtype, shape, name } = head;
  const raw = lists.get(TENSOR.raw);
  const bytes = raw ?? fromList(dtype, lists);
  const needed = bytesFor(dtype, sizeOf(shape));
  if (bytes.byteLength !== needed)
    throw new PaliGemmaError(
      "onnx/format",
      `${name} of ${file} has ${bytes.byteLength} bytes, ${dtype} [${shape.join(", ")}] takes ${needed}`,
    );
  return { dtype, shape, data: viewAs(dtype, bytes.slice()) };
}

function fromList(dtype: DType, lists: ReadonlyMap<number, Uint8Array>): Uint8Array {
  const same = lists.get(TENSOR.floats) ?? lists.get(TENSOR.doubles);
  if (same) return same;
  const numbers = varints(
    lists.get(TENSOR.int64s) ?? lists.get(TENSOR.int32s) ?? lists.get(TENSOR.uint64s) ?? new Uint8Array(0),
  );
  const width = bytesFor(dtype, 1);
  const bytes = new Uint8Array(numbers.length * width);
  const view = new DataView(bytes.buffer);
  numbers.forEach((n, i) => {
    if (width === 8) view.setBigUint64(i * 8, BigInt.asUintN(64, n), true);
    else if (width === 4) view.setUint32(i * 4, Number(BigInt.asUintN(32, n)), true);
    else if (width === 2) view.setUint16(i * 2, Number(BigInt.asUintN(16, n)), true);
    else bytes[i] = Number(BigInt.asUintN(8, n));
  });
  return bytes;
}

/** Packed varints. */
export function varints(bytes: Uint8Array): bigint[] {
  const out: bigint[] = [];
  let value = 0n;
  let shift = 0n;
  for (const byte of bytes) {
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (byte < 0x80) {
      out.push(BigInt.asIntN(64, value));
      value = shift = 0n;
    }
  }
  return out;
}

/** UTF-8 as a string; wrong bytes become replacement characters, which match no name. */
export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
