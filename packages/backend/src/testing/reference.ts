import { sizeOf } from "@paligemma/core";
import type { Reference } from "./arrays.ts";

/** Formulas of the operators in float64, written for being read, not for speed. */

function fill(shape: readonly number[], value: (index: number) => number): Reference {
  return { shape, data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => value(i)) };
}

/** f applied to each element. */
export function map(x: Reference, f: (value: number) => number): Reference {
  return fill(x.shape, (i) => f(x.data[i]!));
}

/** x [..., in] · Wᵀ + b, W [out, in], b [out]. */
export function linear(x: Reference, w: Reference, b?: Reference): Reference {
  const [out, width] = [w.shape[0]!, w.shape[1]!];
  return fill([...x.shape.slice(0, -1), out], (i) => {
    const [row, column] = [Math.floor(i / out), i % out];
    let sum = b ? b.data[column]! : 0;
    for (let k = 0; k < width; k++) sum += x.data[row * width + k]! * w.data[column * width + k]!;
    return sum;
  });
}

/** How a kernel moves, as in the graph package. */
export interface Moves {
  readonly stride: number;
  readonly padding: number;
}

/** Convolution: x [n, channels, height, width], W [out, channels, k, k], b [out]. */
export function convolution(x: Reference, w: Reference, b: Reference, { stride, padding }: Moves): Reference {
  const [n, channels, height, width] = x.shape as [number, number, number, number];
  const [out, , k] = w.shape as [number, number, number, number];
  const [down, across] = [height, width].map((side) => Math.floor((side + 2 * padding - k) / stride) + 1) as [
    number,
    number,
  ];
  return fill([n, out, down, across], (i) => {
    const [image, channelOut, row, column] = placeIn(i, [n, out, down, across]);
    let sum = b.data[channelOut]!;
    for (let c = 0; c < channels; c++) {
      for (let dy = 0; dy < k; dy++) {
        for (let dx = 0; dx < k; dx++) {
          const [y, at] = [row * stride + dy - padding, column * stride + dx - padding];
          if (y < 0 || at < 0 || y >= height || at >= width) continue;
          const pixel = x.data[((image * channels + c) * height + y) * width + at]!;
          sum += pixel * w.data[((channelOut * channels + c) * k + dy) * k + dx]!;
        }
      }
    }
    return sum;
  });
}

/** Convolution with stride = kernel size, patch by patch: [n, patches, out]. */
export function patches(x: Reference, w: Reference, b: Reference): Reference {
  const { shape, data } = convolution(x, w, b, { stride: w.shape[2]!, padding: 0 });
  const [n, out, height, width] = shape as [number, number, number, number];
  const places = height * width;
  return fill([n, places, out], (i) => {
    const [image, , place, channel] = placeIn(i, [n, 1, places, out]);
    return data[(image * out + channel) * places + place]!;
  });
}

/** Its transpose, by scattering: x [n, channels, height, width], W [channels, out, k, k], b [out]. */
export function transposedConvolution(x: Reference, w: Reference, b: Reference, { stride, padding }: Moves): Reference {
  const [n, channels, height, width] = x.shape as [number, number, number, number];
  const [, out, k] = w.shape as [number, number, number, number];
  const [down, across] = [height, width].map((side) => (side - 1) * stride - 2 * padding + k) as [number, number];
  const made = fill([n, out, down, across], (i) => b.data[placeIn(i, [n, out, down, across])[1]]!);
  for (let i = 0; i < x.data.length; i++) {
    const [image, c, row, column] = placeIn(i, [n, channels, height, width]);
    for (let o = 0; o < out; o++) {
      for (let dy = 0; dy < k; dy++) {
        for (let dx = 0; dx < k; dx++) {
          const [y, at] = [row * stride + dy - padding, column * stride + dx - padding];
          if (y < 0 || at < 0 || y >= down || at >= across) continue;
          made.data[((image * out + o) * down + y) * across + at]! +=
            x.data[i]! * w.data[((c * out + o) * k + dy) * k + dx]!;
        }
      }
    }
  }
  return made;
}

/** Index along each axis of the element number `i`. */
function placeIn(i: number, [, b, c, d]: [number, number, number, number]): [number, number, number, number] {
  return [Math.floor(i / (b * c * d)), Math.floor(i / (c * d)) % b, Math.floor(i / d) % c, i % d];
}

/** Applies `f` to each row of the last axis. */
function rows(x: Reference, f: (row: Float64Array) => Float64Array): Reference {
  const width = x.shape.at(-1)!;
  const data = new Float64Array(x.data.length);
  for (let start = 0; start < data.length; start += width) data.set(f(x.data.subarray(start, start + width)), start);
  return { shape: x.shape, data };
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** (x − mean) / √(variance + eps) · weight + bias */
export function layerNorm(x: Reference, weight: Reference, bias: Reference, eps: number): Reference {
  return rows(x, (row) => {
    const center = mean(row);
    const deviation = Math.sqrt(mean(row.map((value) => (value - center) ** 2)) + eps);
    return row.map((value, i) => ((value - center) / deviation) * weight.data[i]! + bias.data[i]!);
  });
}

/** x / √(mean x² + eps) · (1 + weight) */
export function rmsNorm(x: Reference, weight: Reference, eps: number): Reference {
  return rows(x, (row) => {
    const size = Math.sqrt(mean(row.map((value) => value ** 2)) + eps);
    return row.map((value, i) => (value / size) * (1 + weight.data[i]!));
  });
}

/** 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) */
export function geluTanh(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044_715 * x ** 3)));
}

/** softmax over the last axis. */
export function softmax(x: Reference): Reference {
  return rows(x, softmaxRow);
}

function softmaxRow(row: Float64Array): Float64Array {
  const largest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = row.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/** Sizes of an attention, as in the graph package; the mask is [batch, 1, queries, keys]. */
export interface AttentionCase {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly softcap?: number;
  readonly mask?: Reference;
}

/** q [batch, queries, heads · headDim] over k, v [batch, keys, keyValueHeads · headDim]. */
export function attention(q: Reference, k: Reference, v: Reference, options: AttentionCase): Reference {
  const { heads, keyValueHeads, headDim, scale, softcap, mask } = options;
  const [batch, queries] = q.shape as [number, number, number];
  const keys = k.shape[1]!;
  const out = fill([batch, queries, heads * headDim], () => 0);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const shared = Math.floor(h / (heads / keyValueHeads));
      for (let i = 0; i < queries; i++) {
        const query = ((b * queries + i) * heads + h) * headDim;
        const key = (j: number): number => ((b * keys + j) * keyValueHeads + shared) * headDim;
        const scores = Float64Array.from({ length: keys }, (_, j) => {
          let score = 0;
          for (let d = 0; d < headDim; d++) score += q.data[query + d]! * k.data[key(j) + d]!;
          score *= scale;
          if (softcap) score = softcap * Math.tanh(score / softcap);
          return score + (mask ? mask.data[(b * queries + i) * keys + j]! : 0);
        });
        softmaxRow(scores).forEach((weight, j) => {
          for (let d = 0; d < headDim; d++) out.data[query + d]! += weight * v.data[key(j) + d]!;
        });
      }
    }
  }
  return out;
}

/** x [batch, tokens, heads · headDim] turned by position · theta^(−2j / headDim), element j with element j + headDim / 2. */
export function rotate(x: Reference, positions: readonly number[], heads: number, theta: number): Reference {
  const headDim = x.shape[2]! / heads;
  const half = headDim / 2;
  return fill(x.shape, (i) => {
    const place = i % headDim;
    const j = place % half;
    // Frequency and angle are float32 by definition, as in the reference implementation.
    const frequency = Math.fround(1 / theta ** ((2 * j) / headDim));
    const angle = Math.fround(positions[Math.floor(i / x.shape[2]!)]! * frequency);
    const [a, b] = [x.data[i - place + j]!, x.data[i - place + j + half]!];
    return place < half ? a * Math.cos(angle) - b * Math.sin(angle) : b * Math.cos(angle) + a * Math.sin(angle);
  });
}
