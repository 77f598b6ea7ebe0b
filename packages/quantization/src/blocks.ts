import type { QuantizedFormat } from "@paligemma/weights";
import { roundWithFeedback } from "./feedback.ts";
import { fitRange, fitScale, middle } from "./fit.ts";

// A row is cut into blocks; the last one is filled up with zeros, which no product can see. A number of a block is
// scale · (q − zero point) with a whole q of `bits` bits.

/** One scale, and where the format has them one zero point, for each block, row by row. */
export interface BlockScales {
  readonly scales: Float32Array;
  /** One byte each, not packed. */
  readonly zeroPoints: Uint8Array | undefined;
  /** Sum of the squared differences, and of the squares, over all numbers. */
  readonly squaredError: number;
  readonly squaredNorm: number;
}

/** ‖W − Ŵ‖ / ‖W‖ */
export function relativeError({
  squaredError,
  squaredNorm,
}: Pick<BlockScales, "squaredError" | "squaredNorm">): number {
  return squaredNorm === 0 ? 0 : Math.sqrt(squaredError / squaredNorm);
}

/**
 * Scales for `rows` [n, width] that make the squared error of each block small: among several, each followed by the best factor
 * for what it rounds to. 8 bits are fine enough for the first of them.
 */
export function fitBlocks(rows: Float32Array, width: number, format: QuantizedFormat): BlockScales {
  const { bits, blockSize, zeroPoints: own } = format;
  const blocks = Math.ceil(width / blockSize);
  const count = (rows.length / width) * blocks;
  const scales = new Float32Array(count);
  const zeroPoints = own ? new Uint8Array(count).fill(middle(bits)) : undefined;
  let squaredError = 0;
  let squaredNorm = 0;
  for (let b = 0; b < count; b++) {
    const start = Math.floor(b / blocks) * width + (b % blocks) * blockSize;
    const end = Math.min(start + blockSize, (Math.floor(b / blocks) + 1) * width);
    const block = rows.subarray(start, end);
    let norm = 0;
    for (let i = 0; i < block.length; i++) norm += block[i]! * block[i]!;
    squaredNorm += norm;
    if (norm === 0) continue;
    if (zeroPoints) {
      const fit = fitRange(block, bits);
      [scales[b], zeroPoints[b]] = [fit.scale, fit.zeroPoint];
      squaredError += fit.error;
    } else {
      const fit = fitScale(block, bits);
      scales[b] = fit.scale;
      squaredError += Math.max(0, norm - fit.gain);
    }
  }
  return { scales, zeroPoints, squaredError, squaredNorm };
}

/** As `fitBlocks`, for products with what `factors` are made of (see `feedbackFactors`). Changes `rows` to what they are rounded to. */
export function fitBlocksWithFeedback(
  rows: Float32Array,
  width: number,
  format: QuantizedFormat,
  factors: Float32Array,
): BlockScales {
  const before = rows.slice();
  const { scales, zeroPoints } = roundWithFeedback(rows, width, format, factors);
  let [squaredError, squaredNorm] = [0, 0];
  for (let i = 0; i < rows.length; i++) {
    squaredError += (before[i]! - rows[i]!) ** 2;
    squaredNorm += before[i]! ** 2;
  }
  return { scales, zeroPoints, squaredError, squaredNorm };
}

/**
 * The numbers of `rows` [n, width] as the nearest q for these scales (of these rows), packed: [n, blocks, blockSize · bits / 8].
 */
export function packBlocks(
  rows: Float32Array,
  width: number,
  format: QuantizedFormat,
  { scales, zeroPoints }: Pick<BlockScales, "scales" | "zeroPoints">,
): Uint8Array<ArrayBuffer> {
  const { bits, blockSize } = format;
  const blocks = Math.ceil(width / blockSize);
  const count = (rows.length / width) * blocks;
  const top = 2 ** bits - 1;
  const bytes = new Uint8Array((count * blockSize * bits) / 8);
  for (let b = 0; b < count; b++) {
    const start = Math.floor(b / blocks) * width + (b % blocks) * blockSize;
    const length = Math.min(blockSize, (Math.floor(b / blocks) + 1) * width - start);
    const inverse = scales[b] === 0 ? 0 : 1 / scales[b]!;
    const zeroPoint = zeroPoints ? zeroPoints[b]! : middle(bits);
    const offset = zeroPoint + 0.5;
    const at = b * blockSize;
    for (let i = 0; i < blockSize; i++) {
      let q = i < length ? (rows[start + i]! * inverse + offset) | 0 : zeroPoint;
      q = q < 0 ? 0 : q > top ? top : q;
      if (bits === 8) bytes[at + i] = q;
      else bytes[(at + i) >> 1]! |= q << ((i & 1) * 4);
    }
  }
  return bytes;
}

/** Zero points of `rows` rows, packed as the runtime wants them: [rows, ⌈blocks · bits / 8⌉]. */
export function packZeroPoints(zeroPoints: Uint8Array, rows: number, bits: 4 | 8): Uint8Array<ArrayBuffer> {
  if (bits === 8) return new Uint8Array(zeroPoints);
  const blocks = zeroPoints.length / rows;
  const width = Math.ceil(blocks / 2);
  const bytes = new Uint8Array(rows * width);
  zeroPoints.forEach((zeroPoint, i) => {
    const block = i % blocks;
    bytes[Math.floor(i / blocks) * width + (block >> 1)]! |= zeroPoint << ((block & 1) * 4);
  });
  return bytes;
}

/** The numbers that packed rows stand for: [rows, width]. The inverse of packing up to rounding. */
export function unpackBlocks(
  bytes: Uint8Array,
  width: number,
  { bits, blockSize }: QuantizedFormat,
  scales: Float32Array,
  packedZeroPoints?: Uint8Array,
): Float32Array<ArrayBuffer> {
  const blocks = Math.ceil(width / blockSize);
  const rows = scales.length / blocks;
  const numbers = new Float32Array(rows * width);
  const zeroPointWidth = Math.ceil((blocks * bits) / 8);
  const read = (from: Uint8Array, i: number): number => (bits === 8 ? from[i]! : (from[i >> 1]! >> ((i & 1) * 4)) & 15);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const b = row * blocks + block;
      const zeroPoint = packedZeroPoints
        ? read(packedZeroPoints.subarray(row * zeroPointWidth, (row + 1) * zeroPointWidth), block)
        : middle(bits);
      const end = Math.min(blockSize, width - block * blockSize);
      for (let i = 0; i < end; i++) {
        numbers[row * width + block * blockSize + i] = scales[b]! * (read(bytes, b * blockSize + i) - zeroPoint);
      }
    }
  }
  return numbers;
}
