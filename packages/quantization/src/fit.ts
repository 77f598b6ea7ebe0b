// Finds the scale of one block, and where wanted its zero point.

/** Tried in 4 bits instead of "the largest number takes the largest q": a few numbers clipped may serve the others. */
const STRETCHES = [0, -0.2, -0.4, -0.6, -0.8, 0.2, 0.4, 0.6, 0.8];
const SHRINKS = [1, 0.96, 0.92, 0.88, 0.84, 0.8, 0.76];

/** Middle of the range of q: what a block without a zero point of its own counts from. */
export function middle(bits: 4 | 8): number {
  return 1 << (bits - 1);
}

/** The number of the largest magnitude, with its sign; 0 of none. */
function extremeOf(block: Float32Array): number {
  let extreme = 0;
  for (let i = 0; i < block.length; i++) if (Math.abs(block[i]!) > Math.abs(extreme)) extreme = block[i]!;
  return extreme;
}

/** The least and the largest number, 0 always among them. */
function span(block: Float32Array): readonly [low: number, high: number] {
  let [low, high] = [0, 0];
  for (let i = 0; i < block.length; i++) {
    if (block[i]! < low) low = block[i]!;
    if (block[i]! > high) high = block[i]!;
  }
  return [low, high];
}

/** The best scale around the middle. `gain` is what it takes off the block's squared norm. */
export function fitScale(block: Float32Array, bits: 4 | 8): { readonly scale: number; readonly gain: number } {
  const half = middle(bits);
  const extreme = extremeOf(block);
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
export function fitRange(
  block: Float32Array,
  bits: 4 | 8,
): { readonly scale: number; readonly zeroPoint: number; readonly error: number } {
  const top = 2 ** bits - 1;
  const [low, high] = span(block);
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

/** Tried where columns have weights, which often make it worth more to clip. */
const WEIGHTED_STRETCHES = Array.from({ length: 13 }, (_, i) => 0.8 - i * 0.2);
const WEIGHTED_SHRINKS = Array.from({ length: 13 }, (_, i) => 1.04 - i * 0.03);
/** As `fitScale`, for the error Σ weight · (x − scale · q)². */
export function fitWeightedScale(block: Float32Array, bits: 4 | 8, weight: Float32Array): number {
  const half = middle(bits);
  const extreme = extremeOf(block);
  let best = { scale: 0, gain: 0 };
  const refit = (inverse: number): number => {
    let [xq, qq] = [0, 0];
    for (let i = 0; i < block.length; i++) {
      const x = block[i]!;
      let q = (x * inverse + (half + 0.5)) | 0;
      q = (q < 0 ? 0 : q >= 2 * half ? 2 * half - 1 : q) - half;
      const wq = weight[i]! * q;
      xq += x * wq;
      qq += q * wq;
    }
    if (qq === 0 || xq === 0) return 0;
    if ((xq * xq) / qq > best.gain) best = { scale: xq / qq, gain: (xq * xq) / qq };
    return qq / xq;
  };
  for (const stretch of bits === 4 ? WEIGHTED_STRETCHES : [0]) {
    // What the best factor rounds to may have a better factor still.
    const inverse = refit(-(half + stretch) / extreme);
    if (inverse !== 0) refit(inverse);
  }
  return best.scale;
}

/** As `fitRange`, for the error Σ weight · (x − scale · (q − zero point))². */
export function fitWeightedRange(
  block: Float32Array,
  bits: 4 | 8,
  weight: Float32Array,
): { readonly scale: number; readonly zeroPoint: number } {
  const top = 2 ** bits - 1;
  const [low, high] = span(block);
  let best = { scale: 0, zeroPoint: 0, error: Number.POSITIVE_INFINITY };
  for (const shrink of bits === 4 ? WEIGHTED_SHRINKS : [1]) {
    const scale = Math.fround(((high - low) * shrink) / top);
    const zeroPoint = Math.min(top, Math.round((-low * shrink) / scale));
    let error = 0;
    for (let i = 0; i < block.length; i++) {
      let q = (block[i]! / scale + (zeroPoint + 0.5)) | 0;
      q = q < 0 ? 0 : q > top ? top : q;
      error += weight[i]! * (block[i]! - scale * (q - zeroPoint)) ** 2;
    }
    if (error < best.error) best = { scale, zeroPoint, error };
  }
  return best;
}
