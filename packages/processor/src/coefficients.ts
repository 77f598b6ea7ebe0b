import { KERNELS, type Filter } from "./kernels.ts";

/** Fraction bits of a weight: 8 bits of pixel and 2 of overshoot leave 22 of 32. */
export const PRECISION_BITS = 22;

/** Fixed-point weights of one axis: output `i` is Σ `weights[i·taps + t]` · input[`first[i]` + t], t < `count[i]`. */
export interface Coefficients {
  /** Most inputs that one output reads. */
  readonly taps: number;
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** [outputs, taps], 22 fraction bits; zero beyond `count`. */
  readonly weights: Int32Array;
}

/** Weights that resample an axis of `input` pixels to `output` pixels as Pillow's `precompute_coeffs` does. */
export function coefficients(input: number, output: number, filter: Filter): Coefficients {
  const { support: radius, weight } = KERNELS[filter];
  const scale = input / output;
  const stretch = Math.max(scale, 1);
  const support = radius * stretch;
  const taps = Math.min(Math.ceil(support) * 2 + 1, input);
  const first = new Int32Array(output);
  const count = new Int32Array(output);
  const weights = new Int32Array(output * taps);
  const exact = new Float64Array(taps);
  const shrink = 1 / stretch;
  for (let i = 0; i < output; i++) {
    const center = (i + 0.5) * scale;
    const start = Math.max(Math.trunc(center - support + 0.5), 0);
    const length = Math.min(Math.trunc(center + support + 0.5), input) - start;
    let sum = 0;
    for (let t = 0; t < length; t++) {
      exact[t] = weight((t + start - center + 0.5) * shrink);
      sum += exact[t]!;
    }
    for (let t = 0; t < length; t++) {
      const scaled = (sum === 0 ? exact[t]! : exact[t]! / sum) * 2 ** PRECISION_BITS;
      weights[i * taps + t] = Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    }
    first[i] = start;
    count[i] = length;
  }
  return { taps, first, count, weights };
}
