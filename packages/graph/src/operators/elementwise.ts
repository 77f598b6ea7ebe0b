import { PaliGemmaError, fromFloat32, ndArray, type DType } from "@paligemma/core";
import type { Graph, Node } from "../graph.ts";
import { formatShape, sameShape, type Dim, type Shape, type Value } from "../value.ts";

/** Shape of two operands stretched over each other: trailing dimensions meet, 1 stretches. Throws `graph/shape`. */
export function broadcast(op: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const out: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new PaliGemmaError(
        "graph/shape",
        `${op}: ${formatShape(a)} and ${formatShape(b)} do not fit: ${x} against ${y}`,
      );
    }
    out.push(x === 1 ? y : x);
  }
  return out;
}

function binary(op: string, a: Value, b: Value): Value {
  if (a.dtype !== b.dtype)
    throw new PaliGemmaError(
      "graph/dtype",
      `${op}: ${a.name} is ${a.dtype}, ${b.name} is ${b.dtype}; cast one of them`,
    );
  return a.graph.node({
    op,
    inputs: [a, b],
    outputs: [{ dtype: a.dtype, shape: broadcast(op, a.shape, b.shape) }],
  })[0]!;
}

function unary(op: string, x: Value): Value {
  return x.graph.node({ op, inputs: [x], outputs: [x] })[0]!;
}

/** a + b, elementwise, stretched. */
export function add(a: Value, b: Value): Value {
  return binary("Add", a, b);
}

/** a − b, elementwise, stretched. */
export function sub(a: Value, b: Value): Value {
  return binary("Sub", a, b);
}

/** a · b, elementwise, stretched. */
export function mul(a: Value, b: Value): Value {
  return binary("Mul", a, b);
}

/** a / b, elementwise, stretched. */
export function div(a: Value, b: Value): Value {
  return binary("Div", a, b);
}

/** The greater of a and b, elementwise, stretched. */
export function max(a: Value, b: Value): Value {
  return binary("Max", a, b);
}

/** tanh x */
export function tanh(x: Value): Value {
  return unary("Tanh", x);
}

/** max(x, 0) */
export function relu(x: Value): Value {
  return unary("Relu", x);
}

/** GELU in its tanh form: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))). */
export function geluTanh(x: Value): Value {
  return x.graph.node({ op: "Gelu", inputs: [x], attributes: { approximate: { string: "tanh" } }, outputs: [x] })[0]!;
}

/** softmax over one axis, the last unless told. */
export function softmax(x: Value, axis: number = -1): Value {
  return x.graph.node({ op: "Softmax", inputs: [x], attributes: { axis: { int: axis } }, outputs: [x] })[0]!;
}

/** x in another number format; x itself where it has it already. */
export function cast(x: Value, dtype: DType): Value {
  if (x.dtype === dtype) return x;
  return x.graph.node({
    op: "Cast",
    inputs: [x],
    attributes: { to: { int: ONNX_DTYPE[dtype] } },
    outputs: [{ dtype, shape: x.shape }],
  })[0]!;
}

const ACCUMULATION = "Accumulation";

/**
 * sum + part, of one shape, in the format of the sum. A sum over many layers is kept in float32 whatever the arithmetic: half
 * precision would round it at each, and Gemma's outgrows the range.
 */
export function accumulate(sum: Value, part: Value): Value {
  if (!sameShape(sum.shape, part.shape))
    throw new PaliGemmaError(
      "graph/shape",
      `accumulate: ${formatShape(sum.shape)} and ${formatShape(part.shape)} differ; only add stretches`,
    );
  const inputs = [sum, cast(part, sum.dtype)];
  return sum.graph.node({ op: "Add", called: ACCUMULATION, inputs, outputs: [sum] })[0]!;
}

/** True for a node that `accumulate` made: its operands have one shape, which lets runtimes fuse it with a norm. */
export function isAccumulation(node: Node): boolean {
  return node.op === "Add" && node.name.startsWith(`${ACCUMULATION}_`);
}

/** A number as a scalar constant in the given format, the target's arithmetic format unless told. */
export function scalar(g: Graph, value: number, dtype: "float32" | "float16" | "bfloat16" = g.target.compute): Value {
  return g.constant(fromFloat32(ndArray("float32", [], Float32Array.of(value)), dtype));
}

/** ONNX's numbers for formats (onnx.proto, TensorProto.DataType). */
export const ONNX_DTYPE: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  uint4: 21,
  int4: 22,
};
