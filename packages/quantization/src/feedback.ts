import type { QuantizedFormat } from "@paligemma/weights";
import { fitWeightedRange, fitWeightedScale, middle } from "./fit.ts";

// Rounding with feedback: what rounding one column does to products is made good by the columns after it, as far as inputs of
// these columns go together. GPTQ (arXiv 2210.17323) with the Hessian E[x xᵀ] cut into blocks on its diagonal.

/** Columns whose inputs are looked at together. */
export const MOMENT_COLUMNS = 128;
/** What is added to the diagonal, as a share of its mean: the paper's own. */
const DAMPING = 0.01;

/** Numbers that the moments of a matrix of this width are: [⌈width / 128⌉, 128, 128], what is beyond the width is 0. */
export function momentCount(width: number): number {
  return Math.ceil(width / MOMENT_COLUMNS) * MOMENT_COLUMNS ** 2;
}

/**
 * What feedback takes: for each block of moments H the upper triangle U with UᵀU = (H + damping)⁻¹. Columns that inputs never
 * used come out as columns that nothing goes together with.
 */
export function feedbackFactors(moments: Float32Array): Float32Array {
  const n = MOMENT_COLUMNS;
  const factors = new Float32Array(moments.length);
  for (let at = 0; at < moments.length; at += n * n) {
    const h = Float64Array.from(moments.subarray(at, at + n * n));
    let mean = 0;
    for (let i = 0; i < n; i++) mean += h[i * n + i]! / n;
    for (let i = 0; i < n; i++) h[i * n + i]! += mean > 0 ? DAMPING * mean : 1;
    factors.set(upperFactorOfInverse(h, n), at);
  }
  return factors;
}

/** U with UᵀU = H⁻¹: reversing the order of rows and columns makes it the inverse of a lower Cholesky factor. */
function upperFactorOfInverse(h: Float64Array, n: number): Float64Array {
  // L Lᵀ = J H J, J reversing; then H⁻¹ = (J L⁻ᵀ J)(J L⁻¹ J), and J L⁻¹ J is upper.
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = h[(n - 1 - i) * n + (n - 1 - j)]!;
      for (let k = 0; k < j; k++) sum -= l[i * n + k]! * l[j * n + k]!;
      l[i * n + j] = i === j ? Math.sqrt(sum) : sum / l[j * n + j]!;
    }
  }
  const u = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    const column = new Float64Array(n);
    column[j] = 1 / l[j * n + j]!;
    for (let i = j + 1; i < n; i++) {
      let sum = 0;
      for (let k = j; k < i; k++) sum -= l[i * n + k]! * column[k]!;
      column[i] = sum / l[i * n + i]!;
    }
    for (let i = j; i < n; i++) u[(n - 1 - i) * n + (n - 1 - j)] = column[i]!;
  }
  return u;
}

/**
 * Replaces `rows` [n, width] by the numbers that they are rounded to, and gives the scales (and zero points) of their blocks; a
 * block's scale is fitted when feedback of the columns before it is there.
 */
export function roundWithFeedback(
  rows: Float32Array,
  width: number,
  { bits, blockSize, zeroPoints: own }: QuantizedFormat,
  factors: Float32Array,
): { readonly scales: Float32Array; readonly zeroPoints: Uint8Array | undefined } {
  const blocks = Math.ceil(width / blockSize);
  const count = (rows.length / width) * blocks;
  const scales = new Float32Array(count);
  const zeroPoints = own ? new Uint8Array(count).fill(middle(bits)) : undefined;
  const weights = Float32Array.from({ length: width }, (_, i) => 1 / factors[diagonal(i)]! ** 2);
  const top = 2 ** bits - 1;
  for (let row = 0; row < rows.length / width; row++) {
    const numbers = rows.subarray(row * width, (row + 1) * width);
    for (let block = 0; block < blocks; block++) {
      const [start, end] = [block * blockSize, Math.min(width, (block + 1) * blockSize)];
      const b = row * blocks + block;
      fitOne(numbers.subarray(start, end), bits, weights.subarray(start, end), scales, zeroPoints, b);
      const scale = scales[b]!;
      const inverse = scale === 0 ? 0 : 1 / scale;
      const zeroPoint = zeroPoints ? zeroPoints[b]! : middle(bits);
      for (let i = start; i < end; i++) {
        let q = (numbers[i]! * inverse + (zeroPoint + 0.5)) | 0;
        q = q < 0 ? 0 : q > top ? top : q;
        const rounded = scale * (q - zeroPoint);
        const at = diagonal(i);
        const error = (numbers[i]! - rounded) / factors[at]!;
        numbers[i] = rounded;
        const rest = Math.min(width, (Math.floor(i / MOMENT_COLUMNS) + 1) * MOMENT_COLUMNS) - i;
        if (error !== 0) for (let k = 1; k < rest; k++) numbers[i + k]! -= error * factors[at + k]!;
      }
    }
  }
  return { scales, zeroPoints };
}

/** Place of the diagonal's number of column `i`; those right of it follow. */
function diagonal(i: number): number {
  const inBlock = i % MOMENT_COLUMNS;
  return (i - inBlock) * MOMENT_COLUMNS + inBlock * MOMENT_COLUMNS + inBlock;
}

function fitOne(
  block: Float32Array,
  bits: 4 | 8,
  weight: Float32Array,
  scales: Float32Array,
  zeroPoints: Uint8Array | undefined,
  b: number,
): void {
  if (block.every((x) => x === 0)) return;
  if (!zeroPoints) {
    scales[b] = fitWeightedScale(block, bits, weight);
    return;
  }
  const fit = fitWeightedRange(block, bits, weight);
  [scales[b], zeroPoints[b]] = [fit.scale, fit.zeroPoint];
}
