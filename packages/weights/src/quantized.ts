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
 * point of its own, it is signed bytes instead, and a number is scale · q. Such rows lie side by side in panels
 * (see `panelRows`), which processors multiply with as they lie in the file.
 */
export interface QuantizedTensor extends QuantizedFormat {
  /** [out, in], where `in` is what the blocks hold: the length of a row, filled up. */
  readonly shape: readonly [number, number];
  /**
   * uint8 [out, blocks, blockSize · bits / 8], or of whole rows int8 [panels, in, rows of a panel]; of 4-bit numbers the first of two
   * is in the low half of a byte.
   */
  readonly data: TensorRef;
  /** float32 [out, blocks] */
  readonly scales: TensorRef;
  /** uint8 [out, ⌈blocks · bits / 8⌉], packed as `data`. */
  readonly zeroPointData?: TensorRef;
  /** Of whole rows, the sum of the q of each: int32 [out]. Products of bytes that count from 128 are made good with them. */
  readonly sums?: TensorRef;
}

/** Name, format and shape of a tensor to be. */
export type QuantizedPart = Pick<TensorRef, "name" | "dtype" | "shape">;

const DATA = { 4: "int4", 8: "int8" } as const;
/** Rows of a panel: at best, and where that many do not divide a matrix. */
const [PANEL_ROWS, FEWEST_PANEL_ROWS, MOST_PANEL_ROWS] = [128, 64, 512];
const SMALLEST_BLOCK = 16; // onnxruntime, contrib operator MatMulNBits: block_size

/** The tensors that a quantised matrix is made of. */
export interface QuantizedParts {
  readonly data: QuantizedPart;
  readonly scales: QuantizedPart;
  readonly zeroPoints: QuantizedPart | undefined;
  readonly sums: QuantizedPart | undefined;
}

/**
 * The tensors that stand for the matrix `name` [out, in] in a checkpoint: `name.int4` or `name.int8`, `name.scales`, with zero
 * points `name.zero_points`, and of whole rows `name.sums`. Their names, types and shapes say everything: no other
 * description is read.
 */
export function quantizedParts(
  name: string,
  shape: readonly [number, number],
  format: QuantizedFormat,
): QuantizedParts {
  const rows = panelRows(format, shape);
  return rows === undefined ? blockParts(name, shape, format) : panelParts(name, shape, rows);
}

/**
 * Where rows of a matrix [out, in] are one block of signed bytes each: how many of them lie side by side in a panel. 128 where
 * they fit, since onnxruntime's products are fastest then, for one row of input and for many. Undefined for blocks, and where no
 * number of rows near that divides `out`.
 */
export function panelRows(
  { bits, blockSize, zeroPoints }: QuantizedFormat,
  [out, width]: readonly [number, number],
): number | undefined {
  return bits === 8 && blockSize === width && !zeroPoints ? rowsOfPanel(out) : undefined;
}

function rowsOfPanel(out: number): number | undefined {
  if (out <= PANEL_ROWS) return out;
  if (out % PANEL_ROWS === 0) return PANEL_ROWS;
  for (let rows = FEWEST_PANEL_ROWS; rows <= MOST_PANEL_ROWS; rows++) if (out % rows === 0) return rows;
  return undefined;
}

function panelParts(name: string, [out, width]: readonly [number, number], rows: number): QuantizedParts {
  return {
    data: { name: `${name}.${DATA[8]}`, dtype: "int8", shape: [out / rows, width, rows] },
    scales: { name: `${name}.scales`, dtype: "float32", shape: [out, 1] },
    zeroPoints: undefined,
    sums: { name: `${name}.sums`, dtype: "int32", shape: [out] },
  };
}

function blockParts(
  name: string,
  [out, width]: readonly [number, number],
  { bits, blockSize, zeroPoints }: QuantizedFormat,
): QuantizedParts {
  const blocks = Math.ceil(width / blockSize);
  const packed = Math.ceil((blocks * bits) / 8);
  return {
    data: { name: `${name}.${DATA[bits]}`, dtype: "uint8", shape: [out, blocks, (blockSize * bits) / 8] },
    scales: { name: `${name}.scales`, dtype: "float32", shape: [out, blocks] },
    zeroPoints: zeroPoints ? { name: `${name}.zero_points`, dtype: "uint8", shape: [out, packed] } : undefined,
    sums: undefined,
  };
}

/**
 * The matrix of that name where the checkpoint has it quantised, else undefined. Throws `weights/quantized` where its parts do
 * not belong together.
 */
export function findQuantized({ tensors }: Pick<Checkpoint, "tensors">, name: string): QuantizedTensor | undefined {
  const bits = tensors.has(`${name}.${DATA[4]}`) ? 4 : 8;
  const data = tensors.get(`${name}.${DATA[bits]}`);
  if (!data) return undefined;
  const [scales, zeroPointData, sums] = ["scales", "zero_points", "sums"].map((part) => tensors.get(`${name}.${part}`));
  // Signed bytes are panels [panels, in, rows], all others blocks [out, blocks, bytes].
  const panels = data.dtype === "int8" && bits === 8;
  const [first = 0, second = 0, third = 0] = data.shape;
  const blockSize = panels ? second : (third * 8) / bits;
  const shape = panels ? ([first * third, second] as const) : ([first, second * blockSize] as const);
  const format = { bits, blockSize, zeroPoints: !panels && zeroPointData !== undefined } as const;
  const needed = panels ? panelParts(name, shape, third) : blockParts(name, shape, format);
  const wrong = [
    ...(data.shape.length === 3 && (panels || (Number.isInteger(Math.log2(blockSize)) && blockSize >= SMALLEST_BLOCK))
      ? []
      : [`blocks of ${blockSize}, they must be a power of two of at least ${SMALLEST_BLOCK}`]),
    ...mismatch(data, needed.data),
    ...mismatch(scales, needed.scales),
    ...(needed.zeroPoints ? mismatch(zeroPointData, needed.zeroPoints) : []),
    ...(needed.sums ? mismatch(sums, needed.sums) : []),
  ];
  if (wrong.length > 0)
    throw new PaliGemmaError(
      "weights/quantized",
      `the parts of ${name} do not belong together: ${wrong.join("; ")}. Quantise the checkpoint again`,
    );
  return {
    ...format,
    shape,
    data,
    scales: scales!,
    ...(needed.zeroPoints && { zeroPointData: zeroPointData! }),
    ...(needed.sums && { sums: sums! }),
  };
}

/** The tensors of a quantised matrix that are there. */
export function tensorsOf({ data, scales, zeroPointData, sums }: QuantizedTensor): readonly TensorRef[] {
  return [data, scales, zeroPointData, sums].filter((part) => part !== undefined);
}

/** True where a quantised matrix can be the one of this shape: its rows have as many blocks as `in` numbers fill. */
export function quantizedFits(
  { shape: [rows, filled], blockSize }: QuantizedTensor,
  shape: readonly number[],
): boolean {
  const [out, width = 0] = shape;
  return shape.length === 2 && rows === out && filled === Math.ceil(width / blockSize) * blockSize;
}

function mismatch(found: TensorRef | undefined, { name, dtype, shape }: QuantizedPart): readonly string[] {
  if (!found) return [`${name} is missing`];
  if (found.dtype === dtype && found.shape.join() === shape.join()) return [];
  return [`${name} is ${found.dtype} [${found.shape.join(", ")}], needed is ${dtype} [${shape.join(", ")}]`];
}
