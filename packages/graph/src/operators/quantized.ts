import { PaliGemmaError, ndArray } from "@paligemma/core";
import type { Graph } from "../graph.ts";
import { formatShape, type Value } from "../value.ts";
import type { QuantizedMatrix } from "../weights.ts";
import { add, cast, mul, scalar } from "./elementwise.ts";
import { integers, reshape } from "./shape.ts";

/** Arithmetic in 8-bit integers, each row of x with a scale of its own; the other levels are many times slower on a CPU. */
const INTEGER_ARITHMETIC = 4;
/** What stands for 0 in a byte. */
const MIDDLE = 128;
/** Sizes that kernels take, for rows that are looked at as blocks. */
const BLOCK_SIZES = [256, 128, 64, 32, 16];

/** x · Wᵀ (+ b) with a quantised weight [out, in], which stays packed. x [..., in] → [..., out]. */
export function multiplyQuantized(x: Value, weight: QuantizedMatrix, bias?: Value): Value {
  mustMultiply(x.graph, weight);
  const [out, input] = weight.shape;
  if (x.shape.at(-1) !== input) {
    throw new PaliGemmaError(
      "graph/shape",
      `linear: ${formatShape(x.shape)} does not fit the weight ${weight.data.name} ${formatShape(weight.shape)}: ${x.shape.at(-1)} against ${input}`,
    );
  }
  if (weight.wholeRows && x.graph.target.fused.has("QGemm")) return multiplyRows(x, weight, bias);
  const { bits, blockSize, data, scales, zeroPoints } = inBlocks(weight);
  return x.graph.node({
    op: "MatMulNBits",
    domain: "com.microsoft",
    inputs: [x, data, scales, ...(zeroPoints || bias ? [zeroPoints, undefined, bias] : [])],
    attributes: {
      K: { int: input },
      N: { int: out },
      bits: { int: bits },
      block_size: { int: blockSize },
      accuracy_level: { int: INTEGER_ARITHMETIC },
    },
    outputs: [{ dtype: x.dtype, shape: [...x.shape.slice(0, -1), out] }],
  })[0]!;
}

/** Rows in 8 bits: x ≈ scale · (bytes − 128). */
interface ByteRows {
  /** uint8 [rows, in] */
  readonly bytes: Value;
  /** [rows, 1] */
  readonly scales: Value;
}

/** What was rounded already: query, key and value are made from the same rows, and so are gate and up. */
const rounded = new WeakMap<Value, ByteRows>();

/**
 * The same where one scale serves a whole row of the weight. The product is of whole numbers from end to end, which is twice
 * as fast as with blocks for many rows of x, and no slower for one. Every row of x has a scale of its own as well.
 */
function multiplyRows(x: Value, weight: QuantizedMatrix, bias: Value | undefined): Value {
  const g = x.graph;
  const [out] = weight.shape;
  const { bytes, scales } = byteRows(x);
  // As many as there are scales, or the operator refuses; computed once, when the runtime loads.
  const zero = g.constant(ndArray("int8", [], Int8Array.of(0)));
  const zeros = g.node({
    op: "Expand",
    inputs: [zero, integers(g, [out])],
    outputs: [{ dtype: "int8", shape: [out] }],
  })[0]!;
  const product = g.node({
    op: "QGemm",
    domain: "com.microsoft",
    inputs: [bytes, scalar(g, 1), middle(g), weight.rowBytes, weight.rowScales, zeros],
    attributes: { transB: { int: 1 } },
    outputs: [{ dtype: "float32", shape: [bytes.shape[0]!, out] }],
  })[0]!;
  const scaled = mul(product, scales);
  const y = x.shape.length === 2 ? scaled : reshape(scaled, [...x.shape.slice(0, -1), out]);
  return bias ? add(y, bias) : y;
}

function byteRows(x: Value): ByteRows {
  const known = rounded.get(x);
  if (known) return known;
  const g = x.graph;
  const flat = x.shape.length === 2 ? x : reshape(x, [x.shape.slice(0, -1).join("*"), x.shape.at(-1)!]);
  const rows = flat.shape[0]!;
  const type = { dtype: "float32", shape: [rows] } as const;
  const size = g.node({ op: "Abs", inputs: [flat], outputs: [flat] })[0]!;
  const largest = g.node({
    op: "ReduceMax",
    inputs: [size, integers(g, [1])],
    attributes: { keepdims: { int: 0 } },
    outputs: [type],
  })[0]!;
  // A row of zeros has the scale 0: whatever its bytes become, times 0 it is 0 again.
  const scales = mul(largest, scalar(g, 1 / (MIDDLE - 1)));
  const points = g.node({ op: "Expand", inputs: [middle(g), shapeOf(scales)], outputs: [{ ...type, dtype: "uint8" }] });
  const bytes = g.node({
    op: "QuantizeLinear",
    inputs: [flat, scales, points[0]],
    attributes: { axis: { int: 0 } },
    outputs: [{ dtype: "uint8", shape: flat.shape }],
  })[0]!;
  const made = { bytes, scales: reshape(scales, [rows, 1]) };
  rounded.set(x, made);
  return made;
}

function middle(g: Graph): Value {
  return g.constant(ndArray("uint8", [], Uint8Array.of(MIDDLE)));
}

function shapeOf(x: Value): Value {
  return x.graph.node({ op: "Shape", inputs: [x], outputs: [{ dtype: "int64", shape: [x.shape.length] }] })[0]!;
}

type Blocks = Pick<QuantizedMatrix, "bits" | "blockSize" | "data" | "rowBytes" | "scales" | "zeroPoints">;

/**
 * The weight in blocks, for operators that know nothing else: whole rows are cut up, each part with the row's scale. It is
 * done once, by the runtime when it loads or by the backend while it reads.
 */
function inBlocks(weight: QuantizedMatrix): Blocks {
  if (!weight.wholeRows) return weight;
  const g = weight.scales.graph;
  const [out, input] = weight.shape;
  const blockSize = BLOCK_SIZES.find((size) => input % size === 0);
  if (blockSize === undefined) {
    throw new PaliGemmaError(
      "graph/quantized",
      `${weight.data.name} has one scale for a row of ${input}, and ${g.target.name} takes blocks of 16 to 256 only; quantise with a blockSize, such as 128`,
    );
  }
  const shape = [out, input / blockSize];
  const scales = g.node({
    op: "Expand",
    inputs: [weight.scales, integers(g, shape)],
    outputs: [{ dtype: "float32", shape }],
  })[0]!;
  const signed = cast(weight.rowBytes, "uint8");
  const rowBytes = g.node({ op: "BitwiseXor", inputs: [signed, middle(g)], outputs: [signed] })[0]!;
  const data = reshape(rowBytes, [out, input / blockSize, blockSize]);
  return { bits: weight.bits, blockSize, data, rowBytes, scales, zeroPoints: undefined };
}

/** Rows of a block-quantised table [rows, width] at `indices` (int64 [...]), unpacked: [..., width]. */
export function gatherQuantized(table: QuantizedMatrix, indices: Value): Value {
  const g = indices.graph;
  mustMultiply(g, table);
  const [, width] = table.shape;
  const { bits, blockSize, rowBytes, scales, zeroPoints } = inBlocks(table);
  const padded = Math.ceil(width / blockSize) * blockSize;
  const found = g.node({
    op: "GatherBlockQuantized",
    domain: "com.microsoft",
    inputs: [rowBytes, indices, scales, ...(zeroPoints ? [zeroPoints] : [])],
    attributes: {
      bits: { int: bits },
      block_size: { int: blockSize },
      gather_axis: { int: 0 },
      quantize_axis: { int: 1 },
    },
    outputs: [{ dtype: "float32", shape: [...indices.shape, padded] }],
  })[0]!;
  if (padded === width) return found;
  // The rest of the last block is padding.
  const [start, end, axes] = [integers(g, [0]), integers(g, [width]), integers(g, [indices.shape.length])];
  const shape = [...indices.shape, width];
  return g.node({ op: "Slice", inputs: [found, start, end, axes], outputs: [{ dtype: "float32", shape }] })[0]!;
}

function mustMultiply({ target }: Graph, weight: QuantizedMatrix): void {
  if (target.fused.has("MatMulNBits") && target.compute === "float32") return;
  throw new PaliGemmaError(
    "graph/quantized",
    `${weight.data.name} is quantised, and ${target.name} cannot multiply with it in ${target.compute}; use the checkpoint that the bundle was made from, or another device`,
  );
}
