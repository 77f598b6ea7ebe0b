import { PaliGemmaError } from "@paligemma/core";
import { formatShape, type Value } from "../value.ts";
import { tensorLike, type LowRank, type Weights } from "../weights.ts";
import { add } from "./elementwise.ts";
import { convolution } from "./convolution.ts";
import { einsum } from "./einsum.ts";
import { multiplyQuantized } from "./quantized.ts";
import { reshape, split, transpose } from "./shape.ts";

/** a · b over the last two axes, leading axes stretched over each other by equal names or 1. */
export function matMul(a: Value, b: Value): Value {
  const inner = a.shape.at(-1);
  if (inner !== b.shape.at(-2)) {
    throw new PaliGemmaError(
      "graph/shape",
      `matMul: ${formatShape(a.shape)} times ${formatShape(b.shape)}: ${inner} against ${b.shape.at(-2)}`,
    );
  }
  const lead = a.shape.length >= b.shape.length ? a.shape.slice(0, -2) : b.shape.slice(0, -2);
  return a.graph.node({
    op: "MatMul",
    inputs: [a, b],
    outputs: [{ dtype: a.dtype, shape: [...lead, a.shape.at(-2)!, b.shape.at(-1)!] }],
  })[0]!;
}

/**
 * x · Wᵀ (+ b) with the weight as torch stores it, [out, in], which nobody transposes: the operator takes it that way.
 * x [..., in] → [..., out].
 */
export function multiplyTransposed(x: Value, weight: Value, bias?: Value): Value {
  const [out, input] = weight.shape;
  if (weight.shape.length !== 2 || x.shape.at(-1) !== input) {
    throw new PaliGemmaError(
      "graph/shape",
      `linear: ${formatShape(x.shape)} does not fit the weight ${weight.name} ${formatShape(weight.shape)}: ${x.shape.at(-1)} against ${input}`,
    );
  }
  const flat = x.shape.length === 2 ? x : reshape(x, [x.shape.slice(0, -1).join("*"), input!]);
  const product = multiplyRows(flat, weight, bias);
  return x.shape.length === 2 ? product : reshape(product, [...x.shape.slice(0, -1), out!]);
}

function multiplyRows(x: Value, weight: Value, bias: Value | undefined): Value {
  const { target } = x.graph;
  const shape = [x.shape[0]!, weight.shape[0]!];
  const loop = x.graph.isFew(x.shape[0]!) && x.dtype === "float32" && target.fused.has("Einsum");
  if (bias && (loop || target.fewPrograms)) return add(multiplyRows(x, weight, undefined), bias);
  if (loop) return einsum("rk,nk->rn", [x, weight], shape);
  return x.graph.node({
    op: "Gemm",
    inputs: bias ? [x, weight, bias] : [x, weight],
    attributes: { transB: { int: 1 } },
    outputs: [{ dtype: x.dtype, shape }],
  })[0]!;
}

/**
 * The linear layer at `w`: `weight` [out, in], as numbers or quantised, and, where asked for, `bias` [out].
 * x [..., in] → [..., out].
 */
export function linear(x: Value, w: Weights, out: number, options: { readonly bias?: boolean } = {}): Value {
  const input = x.shape.at(-1);
  if (typeof input !== "number")
    throw new PaliGemmaError("graph/shape", `linear: the last axis of ${formatShape(x.shape)} must be a number`);
  const bias = (): Value | undefined => (options.bias ? w.tensor("bias", [out]) : undefined);
  const quantized = w.quantized("weight", [out, input]);
  const y = quantized
    ? multiplyQuantized(x, quantized, bias())
    : multiplyTransposed(x, w.tensor("weight", [out, input]), bias());
  const update = w.lowRank("weight", [out, input]);
  return update ? add(y, multiplyLowRank(x, update)) : y;
}

/**
 * Several linear layers of one x, without bias. Of few rows they are a single product where the checkpoint has their weights side by
 * side: reading weights is all that takes time then, and every operator costs some microseconds. x [..., in] → [..., out] each.
 */
export function linears(x: Value, w: Weights, outs: Readonly<Record<string, number>>): readonly Value[] {
  const [names, sizes] = [Object.keys(outs), Object.values(outs)];
  const input = x.shape.at(-1);
  const fewRows = x.shape.length === 2 && x.graph.isFew(x.shape[0]!) && typeof input === "number";
  const shapes = sizes.map((out) => [out, input as number] as const);
  const joined = fewRows
    ? w.joined(
        names.map((name) => `${name}.weight`),
        shapes,
      )
    : undefined;
  return joined
    ? split(multiplyQuantized(x, joined), 1, sizes)
    : names.map((name) => linear(x, w.at(name), outs[name]!));
}

/** x · aᵀ · bᵀ: what a low-rank update adds to a product. x [..., in] → [..., out]. */
function multiplyLowRank(x: Value, { a, b }: LowRank): Value {
  const flat = x.shape.length === 2 ? x : reshape(x, [x.shape.slice(0, -1).join("*"), x.shape.at(-1)!]);
  const product = multiplyTransposed(multiplyTransposed(flat, a), b);
  return x.shape.length === 2 ? product : reshape(product, [...x.shape.slice(0, -1), b.shape[0]!]);
}

/**
 * Convolution of pictures x [n, channels, height, width] with `weight` [out, channels, k, k] and `bias` [out] at `w`, stride k and
 * no padding: one output per patch, row by row, [n, patches, out].
 */
export function patches(x: Value, w: Weights, out: number, size: number): Value {
  const [n, channels, height, width] = x.shape;
  const counted = [channels, height, width].every((side) => typeof side === "number");
  const [rows, columns] = [Number(height) / size, Number(width) / size];
  if (x.shape.length !== 4 || !counted || !Number.isInteger(rows) || !Number.isInteger(columns)) {
    throw new PaliGemmaError(
      "graph/shape",
      `patches: ${formatShape(x.shape)} must be [n, channels, height, width] with known sizes, and whole patches of ${size}`,
    );
  }
  if (!x.graph.target.fewPrograms) {
    const grid = convolution(x, w, out, { kernel: size, stride: size }); // [n, out, rows, columns]
    return transpose(reshape(grid, [n!, out, rows * columns]), [0, 2, 1]);
  }
  const length = Number(channels) * size * size;
  const apart = transpose(reshape(x, [n!, channels!, rows, size, columns, size]), [0, 2, 4, 1, 3, 5]);
  const weight = reshape(tensorLike(x, w, "weight", [out, Number(channels), size, size]), [out, length]);
  return multiplyTransposed(reshape(apart, [n!, rows * columns, length]), weight, tensorLike(x, w, "bias", [out]));
}
