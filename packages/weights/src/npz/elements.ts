import {
  fromFloat32,
  PaliGemmaError,
  toFloat32,
  viewAs,
  type ArrayTypes,
  type DType,
  type NdArray,
} from "@paligemma/core";
import type { TensorRef } from "../checkpoint.ts";
import { tensorPieces } from "../tensors.ts";
import type { Elements } from "./permute.ts";

const WIDTHS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array } as const;

/** An array as elements that are moved and not understood, so that NaN keeps its bits. */
export function asElements(dtype: DType, bytes: Uint8Array): Elements {
  const width = viewAs(dtype, new Uint8Array(0)).BYTES_PER_ELEMENT as 1 | 2 | 4 | 8;
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);
  return new WIDTHS[width](aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / width);
}

/** Elements as an array of a format. */
export function fromElements<D extends DType>(dtype: D, shape: readonly number[], elements: Elements): NdArray<D> {
  const data: ArrayTypes[D] = viewAs(dtype, new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength));
  return { dtype, shape, data };
}

/** The mean of a table's rows, so many times; read piece by piece. */
export async function meanRow(table: TensorRef, times: number, signal?: AbortSignal): Promise<NdArray> {
  const [rows = 0, width = 0] = table.shape;
  const { dtype } = table;
  if (dtype !== "float32" && dtype !== "float16" && dtype !== "bfloat16") {
    throw new PaliGemmaError(
      "weights/dtype",
      `${table.name} is ${dtype}; a token table is float32, float16 or bfloat16`,
    );
  }
  const sums = new Float64Array(width);
  let at = 0;
  for await (const piece of tensorPieces(table, signal)) {
    const { data } = toFloat32({ dtype, shape: [], data: viewAs(dtype, piece) });
    for (let i = 0; i < data.length; i++, at = at + 1 === width ? 0 : at + 1) sums[at]! += data[i]!;
  }
  const row = Float32Array.from(sums, (sum) => sum / rows);
  const data = new Float32Array(times * width);
  for (let i = 0; i < times; i++) data.set(row, i * width);
  return fromFloat32({ dtype: "float32", shape: [times, width], data }, dtype);
}
