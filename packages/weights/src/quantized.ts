import { PaliGemmaError } from "@paligemma/core";
import type { Checkpoint, TensorRef } from "./checkpoint.ts";

/** How the numbers of a matrix are packed: blocks of a row share one scale. */
export interface QuantizedFormat {
  readonly bits: 4 | 8;
  /** Numbers of a row that share a scale: a power of two, 16 at least; in 8 bits also the length of the row. */
  readonly blockSize: number;
  /** Each block has a zero point of its own; without, it is the middle of the range (8 or 128). */
  readonly zeroPoints: boolean;
}

/**
 * A matrix [out, in] as it lies in a checkpoint, in the layout of onnxruntime's MatMulNBits. A number is
 * scale · (q − zero point). Rows are filled up with zeros to whole blocks. Where a row is one block of 8 bits and has no zero
 * point of its own, it is signed bytes instead, as onnxruntime's QGemm takes them: a number is scale · q.
 */
export interface QuantizedTensor extends QuantizedFormat {
  /** True where a row is one block of signed bytes. */
  readonly wholeRows: boolean;
  /** uint8 [out, blocks, blockSize · bits / 8], or int8 [out, 1, in]; of 4-bit numbers the first of two is in the low half of a byte. */
  readonly data: TensorRef;
  /** float32 [out, blocks] */
  readonly scales: TensorRef;
  /** uint8 [out, ⌈blocks · bits / 8⌉], packed as `data`. */
  readonly zeroPointData?: TensorRef;
}

/** Name, format and shape of a tensor to be. */
export type QuantizedPart = Pick<TensorRef, "name" | "dtype" | "shape">;

const DATA = { 4: "int4", 8: "int8" } as const;
const SMALLEST_BLOCK = 16; // onnxruntime, contrib operator MatMulNBits: block_size

/**
 * The tensors that stand for the matrix `name` [out, in] in a checkpoint: `name.int4` or `name.int8`, `name.scales` and, with
 * zero points, `name.zero_points`. Their names and shapes say everything: no other description is read.
 */
export function quantizedParts(
  name: string,
  [out, width]: readonly [number, number],
  format: QuantizedFormat,
): { readonly data: QuantizedPart; readonly scales: QuantizedPart; readonly zeroPoints: QuantizedPart | undefined } {
  const { bits, blockSize, zeroPoints } = format;
  const blocks = Math.ceil(width / blockSize);
  const packed = Math.ceil((blocks * bits) / 8);
  const dtype = hasWholeRows(format, width) ? "int8" : "uint8";
  return {
    data: { name: `${name}.${DATA[bits]}`, dtype, shape: [out, blocks, (blockSize * bits) / 8] },
    scales: { name: `${name}.scales`, dtype: "float32", shape: [out, blocks] },
    zeroPoints: zeroPoints ? { name: `${name}.zero_points`, dtype: "uint8", shape: [out, packed] } : undefined,
  };
}

/** True where rows of this length are one block of signed bytes. */
export function hasWholeRows({ bits, blockSize, zeroPoints }: QuantizedFormat, width: number): boolean {
  return bits === 8 && blockSize === width && !zeroPoints;
}

/**
 * The matrix of that name where the checkpoint has it quantised, else undefined. Throws `weights/quantized` where its parts do
 * not belong together.
 */
export function findQuantized({ tensors }: Pick<Checkpoint, "tensors">, name: string): QuantizedTensor | undefined {
  const bits = tensors.has(`${name}.${DATA[4]}`) ? 4 : 8;
  const data = tensors.get(`${name}.${DATA[bits]}`);
  if (!data) return undefined;
  const [out = 0, blocks = 0, bytes = 0] = data.shape;
  const blockSize = (bytes * 8) / bits;
  const [scales, zeroPointData] = [tensors.get(`${name}.scales`), tensors.get(`${name}.zero_points`)];
  const format = { bits, blockSize, zeroPoints: zeroPointData !== undefined } as const;
  const wholeRows = data.dtype === "int8" && hasWholeRows(format, blocks * blockSize);
  const needed = quantizedParts(name, [out, blocks * blockSize], format);
  // Blocks may be as long as a row and still be of the other kind.
  const kinds = [needed.data, { ...needed.data, dtype: "uint8" as const }];
  const wrong = [
    ...(data.shape.length === 3 &&
    (wholeRows || (Number.isInteger(Math.log2(blockSize)) && blockSize >= SMALLEST_BLOCK))
      ? []
      : [`blocks of ${blockSize}, they must be a power of two of at least ${SMALLEST_BLOCK}, or in 8 bits whole rows`]),
    ...mismatch(data, kinds.find(({ dtype }) => dtype === data.dtype) ?? needed.data),
    ...mismatch(scales, needed.scales),
    ...(needed.zeroPoints ? mismatch(zeroPointData, needed.zeroPoints) : []),
  ];
  if (wrong.length > 0)
    throw new PaliGemmaError(
      "weights/quantized",
      `the parts of ${name} do not belong together: ${wrong.join("; ")}. Quantise the checkpoint again`,
    );
  return { ...format, wholeRows, data, scales: scales!, ...(zeroPointData && { zeroPointData }) };
}

/** True where a quantised matrix can be the one of this shape: its rows have as many blocks as `in` numbers fill. */
export function quantizedFits({ data, blockSize }: QuantizedTensor, shape: readonly number[]): boolean {
  const [out, width = 0] = shape;
  return shape.length === 2 && data.shape[0] === out && data.shape[1] === Math.ceil(width / blockSize);
}

function mismatch(found: TensorRef | undefined, { name, dtype, shape }: QuantizedPart): readonly string[] {
  if (!found) return [`${name} is missing`];
  if (found.dtype === dtype && found.shape.join() === shape.join()) return [];
  return [`${name} is ${found.dtype} [${found.shape.join(", ")}], needed is ${dtype} [${shape.join(", ")}]`];
}
