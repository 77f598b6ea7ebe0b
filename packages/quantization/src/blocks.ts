import type { QuantizedFormat } from "@paligemma/weights";

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

/** Tried in 4 bits instead of "the largest number takes the largest q": a few numbers clipped may serve the others. */
const STRETCHES = [0, -0.2, -0.4, -0.6, -0.8, 0.2, 0.4, 0.6, 0.8];
const SHRINKS = [1, 0.96, 0.92, 0.88, 0.84, 0.8, 0.76];

/** Middle of the range of q: what a block without a zero point of its own counts from. */
function middle(bits: 4 | 8): number {
  return 1 << (bits - 1);
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

/** The best scale around the middle. `gain` is what it takes off the block's squared norm. */
function fitScale(block: Float32Array, bits: 4 | 8): { readonly scale: number; readonly gain: number } {
  const half = middle(bits);
  let extreme = 0;
  for (let i = 0; i < block.length; i++) if (Math.abs(block[i]!) > Math.abs(extreme)) extreme = block[i]!;
  let best = { scale: 0, gain: 0 };
  // −half is the q of the largest magnitude, so the extreme number takes it, whatever its sign.
  for (const stretch of bits === 4 ? STRETCHES : [0]) {
    const inverse = -(half + stretch) / extreme;
    let xq = 0;
    let qq = 0;
    for (let i = 0; i < block.length; i++) {
      const x = block[i]!;
      let q = (x * inverse + (half + 0.5)) | 0;
      q = (q < 0 ? 0 : q >= 2 * half ? 2 * half - 1 : q) - half;
      xq += x * q;
      qq += q * q;
    }
    // For these q the best factor is xq / qq, and it takes xq² / qq off.
    if (qq > 0 && (xq * xq) / qq > best.gain) best = { scale: xq / qq, gain: (xq * xq) / qq };
  }
  return best;
}

/** The best scale and zero point; 0 is always among the numbers. */
function fitRange(
  block: Float32Array,
  bits: 4 | 8,
): { readonly scale: number; readonly zeroPoint: number; readonly error: number } {
  const top = 2 ** bits - 1;
  let [low, high] = [0, 0];
  for (let i = 0; i < block.length; i++) {
    if (block[i]! < low) low = block[i]!;
    if (block[i]! > high) high = block[i]!;
  }
  let best = { scale: 0, zeroPoint: 0, error: Number.POSITIVE_INFINITY };
  for (const shrink of bits === 4 ? SHRINKS : [1]) {
    const scale = Math.fround(((high - low) * shrink) / top);
    const zeroPoint = Math.round((-low * shrink) / scale);
    let error = 0;
    for (let i = 0; i < block.length; i++) {
      let q = (block[i]! / scale + (zeroPoint + 0.5)) | 0;
      q = q < 0 ? 0 : q > top ? top : q;
      const difference = block[i]! - scale * (q - zeroPoint);
      error += difference * difference;
    }
    if (error < best.error) best = { scale, zeroPoint, error };
  }
  return best;
}

/** The numbers of `rows` [n, width] as the nearest q for these scales (of these rows), packed: [n, blocks, blockSize · bits / 8]. */
export function packBlocks(
  rows: Float32Array,
  width: number,
  { bits, blockSize }: QuantizedFormat,
  { scales, zeroPoints }: Pick<BlockScales, "scales" | "zeroPoints">,
): Uint8Array<ArrayBuffer> {
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
