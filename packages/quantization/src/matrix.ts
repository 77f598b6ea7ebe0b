import { bitsOf, PaliGemmaError, sizeOf, toFloat32, type NdArray } from "@paligemma/core";
import {
  panelRows,
  quantizedParts,
  readTensor,
  type ByteSource,
  type QuantizedFormat,
  type QuantizedPart,
  type QuantizedTensor,
  type TensorRef,
} from "@paligemma/weights";
import {
  fitBlocks,
  fitBlocksWithFeedback,
  packBlocks,
  packZeroPoints,
  relativeError,
  unpackBlocks,
  type BlockScales,
} from "./blocks.ts";
import { feedbackFactors } from "./feedback.ts";
import { matrixRows } from "./numbers.ts";
import { packPanels, unpackPanels } from "./panels.ts";

/** Throws `quantization/option` unless the format is one that runtimes have kernels for, for a matrix [out, in]. */
export function checkFormat(format: QuantizedFormat, shape: readonly [number, number]): void {
  const { bits, blockSize, zeroPoints } = format;
  const [out, width] = shape;
  const faults = [
    ...(bits === 4 || bits === 8 ? [] : [`bits is ${String(bits)}, it may be 4 or 8`]),
    ...(BLOCK_SIZES.includes(blockSize) || panelRows(format, shape) !== undefined
      ? []
      : [
          `blockSize is ${String(blockSize)}, it may be ${BLOCK_SIZES.join(", ")}, or in 8 bits without zero points ${width}, the length of a row, where panels of 64 to 512 rows divide ${out}`,
        ]),
    ...(typeof zeroPoints === "boolean" ? [] : [`zeroPoints is ${String(zeroPoints)}, it may be true or false`]),
  ];
  if (faults.length > 0) throw new PaliGemmaError("quantization/option", faults.join("; "));
}

/** Block sizes: onnxruntime's kernels take powers of two from 16 on; longer ones than 256 only lose precision. */
export const BLOCK_SIZES: readonly number[] = [16, 32, 64, 128, 256];

/** What is known of a matrix once its rows were read: the scales, and of whole rows the sums of their q. */
interface Fitted extends BlockScales {
  readonly sums: Int32Array<ArrayBuffer> | undefined;
}

/** Called once the scales of a matrix are known: ‖W − Ŵ‖ / ‖W‖ at most. */
export type OnFitted = (name: string, relativeError: number) => void;

/** What else to know, or to be told, when a matrix is quantised. */
export interface QuantizeMatrixOptions {
  readonly onFitted?: OnFitted;
  /** Second moments of what the columns are multiplied with; see `QuantizeOptions`. */
  readonly moments?: Float32Array;
}

/**
 * The tensors that stand for a matrix [out, in] of floating-point numbers: data, scales and, where the format has them, zero
 * points (see `quantizedParts`). Nothing is read before they are; then some rows at a time. The scales are kept from when they
 * are first needed until the last byte of the data was read. Throws `quantization/matrix` for what is no such matrix.
 */
export function quantizeMatrix(
  ref: TensorRef,
  format: QuantizedFormat,
  { onFitted, moments }: QuantizeMatrixOptions = {},
): readonly TensorRef[] {
  const [out = 0, width = 0] = ref.shape;
  checkFormat(format, [out, width]);
  if (ref.shape.length !== 2 || out * width === 0 || bitsOf(ref.dtype) < 16 || !ref.dtype.includes("float"))
    throw new PaliGemmaError(
      "quantization/matrix",
      `${ref.name} is ${ref.dtype} [${ref.shape.join(", ")}]; only matrices of floating-point numbers are quantised`,
    );
  const parts = quantizedParts(ref.name, [out, width], format);
  const blocks = parts.scales.shape[1]!;
  const rowBytes = sizeOf(parts.data.shape) / out;
  const panel = panelRows(format, [out, width]);
  const together = panel ?? 1;
  const factors = moments && feedbackFactors(moments);
  const fitRows = (rows: Float32Array): BlockScales =>
    factors ? fitBlocksWithFeedback(rows, width, format, factors) : fitBlocks(rows, width, format);
  let held: Promise<Fitted> | undefined;

  async function fit(signal: AbortSignal | undefined): Promise<Fitted> {
    const scales = new Float32Array(out * blocks);
    const sums = panel === undefined ? undefined : new Int32Array(out);
    const zeroPoints = format.zeroPoints ? new Uint8Array(out * blocks) : undefined;
    let [squaredError, squaredNorm] = [0, 0];
    for await (const { first, rows } of matrixRows(ref, 0, out, together, signal)) {
      const some = fitRows(rows);
      scales.set(some.scales, first * blocks);
      if (some.zeroPoints) zeroPoints!.set(some.zeroPoints, first * blocks);
      if (sums) sums.set(packPanels(rows, width, together, some.scales).sums, first);
      squaredError += some.squaredError;
      squaredNorm += some.squaredNorm;
    }
    onFitted?.(ref.name, relativeError({ squaredError, squaredNorm }));
    return { scales, zeroPoints, sums, squaredError, squaredNorm };
  }

  function fitted(signal: AbortSignal | undefined): Promise<Fitted> {
    held ??= fit(signal).catch((error: unknown) => {
      held = undefined;
      throw error;
    });
    return held;
  }

  async function data(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    const { scales, zeroPoints } = await fitted(signal);
    const firstRow = Math.floor(start / rowBytes / together) * together;
    const lastRow = Math.min(out, Math.ceil(end / rowBytes / together) * together);
    const bytes = new Uint8Array((lastRow - firstRow) * rowBytes);
    for await (const { first, last, rows } of matrixRows(ref, firstRow, lastRow, together, signal)) {
      if (factors) fitRows(rows); // which changes them to what they are rounded to
      const [from, to] = [first * blocks, last * blocks];
      const own = { scales: scales.subarray(from, to), zeroPoints: zeroPoints?.subarray(from, to) };
      const packed =
        panel === undefined ? packBlocks(rows, width, format, own) : packPanels(rows, width, panel, own.scales).data;
      bytes.set(packed, (first - firstRow) * rowBytes);
    }
    if (end === out * rowBytes) held = undefined;
    return bytes.slice(start - firstRow * rowBytes, end - firstRow * rowBytes);
  }

  async function scaleBytes(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    return new Uint8Array((await fitted(signal)).scales.buffer).slice(start, end);
  }

  async function sumBytes(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    return new Uint8Array((await fitted(signal)).sums!.buffer).slice(start, end);
  }

  async function zeroPointBytes(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    return packZeroPoints((await fitted(signal)).zeroPoints!, out, format.bits).slice(start, end);
  }

  const tensor = (part: QuantizedPart, read: ByteSource["read"]): TensorRef => {
    const size = (sizeOf(part.shape) * bitsOf(part.dtype)) / 8;
    const source: ByteSource = {
      name: `${ref.source.name} in ${format.bits} bits`,
      size,
      read: async (start, end, signal) => {
        if (start >= 0 && start <= end && end <= size) return await read(start, end, signal);
        throw new PaliGemmaError("weights/range", `bytes ${start} to ${end} of ${part.name}, which has ${size}`);
      },
    };
    return { ...part, source, start: 0, end: size };
  };
  return [
    tensor(parts.scales, scaleBytes),
    ...(parts.zeroPoints ? [tensor(parts.zeroPoints, zeroPointBytes)] : []),
    ...(parts.sums ? [tensor(parts.sums, sumBytes)] : []),
    tensor(parts.data, data),
  ];
}

/** The numbers that a quantised matrix stands for, [out, width]; `width` is needed because the last block may be filled up. */
export async function dequantizeMatrix(
  tensor: QuantizedTensor,
  width: number,
  signal?: AbortSignal,
): Promise<NdArray<"float32">> {
  const [data, scales, zeroPoints] = await Promise.all([
    readTensor(tensor.data, signal),
    readTensor(tensor.scales, signal),
    tensor.zeroPointData && readTensor(tensor.zeroPointData, signal),
  ]);
  const [out, blocks] = tensor.scales.shape;
  if (Math.ceil(width / tensor.blockSize) !== blocks || (tensor.sums && width !== tensor.blockSize))
    throw new PaliGemmaError(
      "quantization/matrix",
      `${tensor.data.name} has ${blocks} blocks of ${tensor.blockSize} in a row, ${width} numbers do not fill them`,
    );
  const numbers = tensor.sums
    ? unpackPanels(data.data as Int8Array, width, data.shape[2]!, toFloat32(scales).data)
    : unpackBlocks(
        data.data as Uint8Array,
        width,
        tensor,
        toFloat32(scales).data,
        zeroPoints?.data as Uint8Array | undefined,
      );
  return { dtype: "float32", shape: [out!, width], data: numbers };
}
