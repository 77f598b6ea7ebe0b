import { PaliGemmaError, ndArray } from "@paligemma/core";
import type { Graph } from "../graph.ts";
import { formatShape, type Dim, type Shape, type Value } from "../value.ts";
import { broadcast } from "./elementwise.ts";

/** int64 constant [n]. */
export function integers(g: Graph, values: readonly number[]): Value {
  return g.constant(ndArray("int64", [values.length], BigInt64Array.from(values.map(BigInt))));
}

function names(shape: Shape): string {
  return shape
    .filter((d) => typeof d === "string")
    .toSorted()
    .join();
}

function knownProduct(shape: Shape): number {
  return shape.reduce<number>((product, d) => (typeof d === "number" ? product * d : product), 1);
}

/**
 * The same elements under another shape. Named dimensions stand for sizes known at run time; a name that `x` does not have
 * is the product of what is left over (at most one). Throws `graph/shape` where the known sizes cannot fit.
 */
export function reshape(x: Value, shape: Shape): Value {
  const g = x.graph;
  if (names(x.shape) === names(shape) && knownProduct(x.shape) !== knownProduct(shape)) {
    throw new PaliGemmaError(
      "graph/shape",
      `reshape: ${formatShape(x.shape)} has other elements than ${formatShape(shape)}`,
    );
  }
  const output = { dtype: x.dtype, shape };
  // 0 copies the dimension at the same place, −1 is the one that is worked out: enough for most, and free.
  const spare = shape.filter((d, i) => typeof d === "string" && d !== x.shape[i]).length;
  if (spare <= 1) {
    const wanted = shape.map((d, i) => (typeof d === "number" ? d : d === x.shape[i] ? 0 : -1));
    return g.node({ op: "Reshape", inputs: [x, integers(g, wanted)], outputs: [output] })[0]!;
  }
  return g.node({ op: "Reshape", inputs: [x, sizesOf(g, shape)], outputs: [output] })[0]!;
}

/** Shapes of several sizes that are known at run time only, put together once for a graph. */
const putTogether = new WeakMap<Graph, Map<string, Value>>();

function sizesOf(g: Graph, shape: Shape): Value {
  const known = putTogether.get(g) ?? new Map<string, Value>();
  putTogether.set(g, known);
  const made =
    known.get(shape.join()) ??
    g.node({
      op: "Concat",
      inputs: shape.map((d) => (typeof d === "number" ? integers(g, [d]) : g.size(d))),
      attributes: { axis: { int: 0 } },
      outputs: [{ dtype: "int64", shape: [shape.length] }],
    })[0]!;
  known.set(shape.join(), made);
  return made;
}

/** x with its axes in another order. */
export function transpose(x: Value, order: readonly number[]): Value {
  if (order.length !== x.shape.length || order.toSorted((a, b) => a - b).some((axis, i) => axis !== i)) {
    throw new PaliGemmaError(
      "graph/axes",
      `transpose: [${order.join(", ")}] is no order of the axes of ${formatShape(x.shape)}`,
    );
  }
  const shape = order.map((axis) => x.shape[axis]!);
  return x.graph.node({
    op: "Transpose",
    inputs: [x],
    attributes: { perm: { ints: order } },
    outputs: [{ dtype: x.dtype, shape }],
  })[0]!;
}

/** The parts one after another along `axis`; `length` names the joint size where it is not a plain sum of numbers. */
export function concat(parts: readonly Value[], axis: number, length?: string): Value {
  const first = parts[0]!;
  for (const part of parts) {
    const fits =
      part.shape.length === first.shape.length && part.shape.every((d, i) => i === axis || d === first.shape[i]);
    if (!fits || part.dtype !== first.dtype) {
      throw new PaliGemmaError(
        "graph/shape",
        `concat along ${axis}: ${first.dtype} ${formatShape(first.shape)} and ${part.dtype} ${formatShape(part.shape)} do not fit`,
      );
    }
  }
  const sizes = parts.map((part) => part.shape[axis]!);
  const joint: Dim =
    length ?? (sizes.every((s) => typeof s === "number") ? sizes.reduce((a, b) => a + b, 0) : sizes.join("+"));
  const shape = first.shape.map((d, i) => (i === axis ? joint : d));
  return first.graph.node({
    op: "Concat",
    inputs: parts,
    attributes: { axis: { int: axis } },
    outputs: [{ dtype: first.dtype, shape }],
  })[0]!;
}

/** Rows of `table` [rows, …] at `indices` (int64) along `axis`: the indices' shape replaces that axis. */
export function gather(table: Value, indices: Value, axis: number = 0): Value {
  const shape = [...table.shape.slice(0, axis), ...indices.shape, ...table.shape.slice(axis + 1)];
  return table.graph.node({
    op: "Gather",
    inputs: [table, indices],
    attributes: { axis: { int: axis } },
    outputs: [{ dtype: table.dtype, shape }],
  })[0]!;
}

/** `a` where `condition` (bool) holds, else `b`; all three stretched over each other. */
export function where(condition: Value, a: Value, b: Value): Value {
  if (condition.dtype !== "bool" || a.dtype !== b.dtype) {
    throw new PaliGemmaError(
      "graph/dtype",
      `where: condition is ${condition.dtype} (must be bool), the choices are ${a.dtype} and ${b.dtype}`,
    );
  }
  const shape = broadcast("where", condition.shape, broadcast("where", a.shape, b.shape));
  return a.graph.node({ op: "Where", inputs: [condition, a, b], outputs: [{ dtype: a.dtype, shape }] })[0]!;
}

/** Index of the largest element of each row of the last axis, the first of equals, as int64 [..., 1]. */
export function argMax(x: Value): Value {
  const attributes = { axis: { int: -1 }, keepdims: { int: 1 }, select_last_index: { int: 0 } };
  return x.graph.node({
    op: "ArgMax",
    inputs: [x],
    attributes,
    outputs: [{ dtype: "int64", shape: [...x.shape.slice(0, -1), 1] }],
  })[0]!;
}

/** x cut along an axis into parts of these lengths, all of it. */
export function split(x: Value, axis: number, lengths: readonly number[]): readonly Value[] {
  return x.graph.node({
    op: "Split",
    inputs: [x, integers(x.graph, lengths)],
    attributes: { axis: { int: axis } },
    outputs: lengths.map((length) => ({ dtype: x.dtype, shape: x.shape.with(axis, length) })),
  });
}

/** To the end of an axis. */
const END = 2 ** 31 - 1;

/** x from `start` up to `end` (the end of it unless told) along an axis, of which that is `length`; either counts from the end below 0. */
export function slice(x: Value, axis: number, [start, end = END]: readonly [number, number?], length: Dim): Value {
  const g = x.graph;
  return g.node({
    op: "Slice",
    inputs: [x, integers(g, [start]), integers(g, [end]), integers(g, [axis])],
    outputs: [{ dtype: x.dtype, shape: x.shape.with(axis, length) }],
  })[0]!;
}

/** Sums, largest or smallest elements, or lengths, along an axis, which is gone then, or with `keep` is 1. */
export function reduce(
  op: "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceL2",
  x: Value,
  axis: number,
  { keep = false }: { readonly keep?: boolean } = {},
): Value {
  return x.graph.node({
    op,
    inputs: [x, integers(x.graph, [axis])],
    attributes: { keepdims: { int: keep ? 1 : 0 } },
    outputs: [{ dtype: x.dtype, shape: keep ? x.shape.with(axis, 1) : x.shape.toSpliced(axis, 1) }],
  })[0]!;
}
