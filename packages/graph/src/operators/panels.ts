import { PaliGemmaError, ndArray } from "@paligemma/core";
import type { Graph } from "../graph.ts";
import type { Dim, Value } from "../value.ts";
import type { QuantizedBlocks, QuantizedPanels } from "../weights.ts";
import { add, cast, div, geluTanh, max, mul, scalar, sub } from "./elementwise.ts";
import { gather, integers, reduce, reshape, transpose } from "./shape.ts";

// Weights in 8 bits with one scale for a row, in panels [count, in, rows]: products of bytes from end to end. onnxruntime leaves
// such weights as they lie: it packs matrices of two axes only, which takes seconds for a model and another copy of it. One row of
// input is multiplied by a kernel that reads the weights once, but only where no zero point is given to it.

/** What stands for 0 in a byte of the input. */
const MIDDLE = 128;
/** Sizes that kernels take, for rows that are looked at as blocks. */
const BLOCK_SIZES = [256, 128, 64, 32, 16];

/** x · Wᵀ (+ b). x [..., in] → [..., out]; every row of x has a scale of its own. */
export function multiplyPanels(x: Value, panels: QuantizedPanels, bias: Value | undefined): Value {
  const { count, rows } = panels;
  const { bytes, scales } = byteRows(x);
  const [n] = bytes.shape;
  const y = mul(n === 1 ? scaledRow(products(bytes, panels), panels) : scaledRows(bytes, panels), scales);
  const open = x.shape.length === 2 ? y : reshape(y, [...x.shape.slice(0, -1), count * rows]);
  return bias ? add(open, bias) : open;
}

/** Σ byte · q: int32 [count, n, rows of a panel]. */
function products(bytes: Value, { data }: Pick<QuantizedPanels, "data">): Value {
  const [count, , rows] = data.shape as readonly [Dim, number, number];
  return bytes.graph.node({
    op: "MatMulInteger",
    inputs: [bytes, data],
    outputs: [{ dtype: "int32", shape: [count, bytes.shape[0]!, rows] }],
  })[0]!;
}

/** Such products without what stands for 0, times the weight's scales. */
function scaled(sums: Value, { panelSums, panelScales }: Pick<QuantizedPanels, "panelSums" | "panelScales">): Value {
  return mul(cast(sub(sums, middles(panelSums)), "float32"), panelScales);
}

/** [count, n, rows of a panel] → [n, out] */
function sideBySide(y: Value): Value {
  const [count, n, rows] = y.shape as readonly [Dim, Dim, number];
  const out = typeof count === "number" ? count * rows : `${count}*${rows}`;
  return reshape(count === 1 ? y : transpose(y, [1, 0, 2]), [n, out]);
}

/** Inputs of a panel that stay in a processor's cache while few rows are multiplied with them: 2048 · 128 bytes. */
const PART = 2048;

/**
 * The same by the kernel for one row: part of a panel is read for the first row, and is in the processor's cache for the others. Of a few
 * rows that is faster than what the kernel for many does to a panel before it multiplies.
 */
function productsRowByRow(bytes: Value, { count, rows, apart }: QuantizedPanels): Value {
  const [n, width] = bytes.shape as readonly [Dim, number];
  const { graph: g } = bytes;
  const parts = width % PART === 0 ? width / PART : 1;
  const cut =
    parts === 1
      ? reshape(bytes, [1, 1, n, 1, width])
      : transpose(reshape(bytes, [1, n, parts, 1, width / parts]), [0, 2, 1, 3, 4]);
  const sums = g.node({
    op: "MatMulInteger",
    inputs: [cut, apart(parts)],
    outputs: [{ dtype: "int32", shape: [count, parts, n, 1, rows] }],
  })[0]!;
  if (parts === 1) return reshape(transpose(sums, [2, 0, 1, 3, 4]), [n, count * rows]);
  const whole = g.node({
    op: "ReduceSum",
    inputs: [sums, integers(g, [1, 3])],
    attributes: { keepdims: { int: 0 } },
    outputs: [{ dtype: "int32", shape: [count, n, rows] }],
  })[0]!;
  return sideBySide(whole);
}

/**
 * Products with the weight's scales, [n, out]. Where there are many rows the kernel takes the zero point of the bytes and the scales as
 * well; that for a single row does not.
 */
function scaledRows(bytes: Value, panels: QuantizedPanels): Value {
  const { graph: g } = bytes;
  const n = bytes.shape[0]!;
  if (g.isFew(n)) {
    const { rowSums, rowScales } = panels;
    return mul(cast(sub(productsRowByRow(bytes, panels), middles(rowSums)), "float32"), rowScales);
  }
  return sideBySide(g.isMany(n) ? scaledProducts(bytes, panels) : scaled(products(bytes, panels), panels));
}

/** The same of many rows, panel by panel: [count, n, rows of a panel]. */
function scaledProducts(bytes: Value, { count, rows, data, panelScales }: QuantizedPanels): Value {
  const { graph: g } = bytes;
  return g.node({
    op: "MatMulIntegerToFloat",
    domain: "com.microsoft",
    inputs: [bytes, data, scalar(g, 1), panelScales, middle(g)],
    outputs: [{ dtype: "float32", shape: [count, bytes.shape[0]!, rows] }],
  })[0]!;
}

/** What a perceptron multiplies with. */
export interface PerceptronPanels {
  readonly gate: QuantizedPanels | undefined;
  readonly up: QuantizedPanels;
  readonly down: QuantizedPanels;
}

/** Values of GELU's tanh form are at most so far below 0. */
const GELU_DEPTH = 0.1701;

/**
 * gelu(x · Uᵀ + a) · Dᵀ + b, or, gated, (gelu(x · Gᵀ) ⊙ (x · Uᵀ)) · Dᵀ, of many rows: x [n, in] → [n, out]. What is between the products,
 * the largest of all that a layer makes, stays in the order of the panels in which it was made until it is bytes.
 */
export function perceptronOfPanels(
  x: Value,
  { gate, up, down }: PerceptronPanels,
  biases?: { readonly up: Value; readonly down: Value },
): Value {
  const g = x.graph;
  const { bytes, scales } = byteRows(x);
  const first = gate ?? up;
  const { count, rows } = first;
  let h = mul(scaledProducts(bytes, first), scales); // [count, n, rows]
  if (biases) h = add(h, reshape(biases.up, [count, 1, rows]));
  h = geluTanh(h);
  // A factor of a whole row is the same before and after rounding.
  if (gate) h = mul(h, scaledProducts(bytes, up));

  // Panel by panel first: numbers that lie side by side.
  const over = (op: "ReduceMax" | "ReduceMin"): Value =>
    reduce(op, reduce(op, h, 2, { keep: true }), 0, { keep: true });
  const depth = gate ? sub(scalar(g, 0), over("ReduceMin")) : scalar(g, GELU_DEPTH);
  const unit = mul(max(over("ReduceMax"), depth), scalar(g, 1 / (MIDDLE - 1))); // [1, n, 1]
  // With one scale for all that is rounded the runtime does it in parallel.
  const rounded = sideBySide(quantize(div(h, unit), scalar(g, 1), middle(g)));
  const units = reshape(unit, scales.shape);
  const y = mul(sideBySide(scaledProducts(rounded, down)), gate ? mul(units, scales) : units);
  return biases ? add(y, biases.down) : y;
}

/** x · Wᵀ for the panels `chosen` (int64 [p]) alone: x [n, in] → [n, p · rows of a panel]. Same numbers as of the whole product. */
export function multiplySomePanels(x: Value, panels: QuantizedPanels, chosen: Value): Value {
  const { bytes, scales } = byteRows(x);
  const some = {
    data: gather(panels.data, chosen),
    panelSums: gather(panels.panelSums, chosen),
    panelScales: gather(panels.panelScales, chosen),
  };
  return mul(sideBySide(scaled(products(bytes, some), some)), scales);
}

/** The same for one row, whose panels lie one after the other as they are. */
function scaledRow(sums: Value, { count, rows, rowSums, rowScales }: QuantizedPanels): Value {
  const row = reshape(sums, [1, count * rows]);
  return sums.graph.node({
    op: "DequantizeLinear",
    inputs: [sub(row, middles(rowSums)), rowScales],
    attributes: { axis: { int: 1 } },
    outputs: [{ dtype: "float32", shape: row.shape }],
  })[0]!;
}

/** What is too much in products of bytes that count from 128: Σ (byte − 128) · q = Σ byte · q − 128 · Σ q, exactly. */
function middles(sums: Value): Value {
  return mul(sums, sums.graph.constant(ndArray("int32", [], Int32Array.of(MIDDLE))));
}

/** Rows in 8 bits: x ≈ scale · (bytes − 128). */
interface ByteRows {
  /** uint8 [rows, in] */
  readonly bytes: Value;
  /** [rows, 1], or [1] of one row */
  readonly scales: Value;
}

/** What was rounded already: query, key and value are made from the same rows, and so are gate and up. */
const rounded = new WeakMap<Value, ByteRows>();

function byteRows(x: Value): ByteRows {
  const known = rounded.get(x);
  if (known) return known;
  const g = x.graph;
  const flat = x.shape.length === 2 ? x : reshape(x, [x.shape.slice(0, -1).join("*"), x.shape.at(-1)!]);
  const rows = flat.shape[0]!;
  const size = g.node({ op: "Abs", inputs: [flat], outputs: [flat] })[0]!;
  const largest = reduce("ReduceMax", size, 1);
  // A row of zeros has the scale 0: whatever its bytes become, times 0 it is 0 again.
  const scales = mul(largest, scalar(g, 1 / (MIDDLE - 1)));
  const bytes = quantize(flat, scales, zeroPoints(scales, rows));
  const made = { bytes, scales: rows === 1 ? scales : reshape(scales, [rows, 1]) };
  rounded.set(x, made);
  return made;
}

/** round(x / scale) + zero point in uint8, with one of either for all or for each along the first axis. */
function quantize(x: Value, scale: Value, zeroPoint: Value): Value {
  return x.graph.node({
    op: "QuantizeLinear",
    inputs: [x, scale, zeroPoint],
    attributes: { axis: { int: 0 } },
    outputs: [{ dtype: "uint8", shape: x.shape }],
  })[0]!;
}

/** As many zero points as there are rows, made once for all products of a graph. */
const pointsOf = new WeakMap<Graph, Map<Dim, Value>>();

function zeroPoints(scales: Value, rows: Dim): Value {
  const g = scales.graph;
  const made = pointsOf.get(g) ?? new Map<Dim, Value>();
  pointsOf.set(g, made);
  const known = made.get(rows);
  if (known) return known;
  const size = g.node({ op: "Shape", inputs: [scales], outputs: [{ dtype: "int64", shape: [1] }] })[0]!;
  const points = g.node({ op: "Expand", inputs: [middle(g), size], outputs: [{ dtype: "uint8", shape: [rows] }] })[0]!;
  made.set(rows, points);
  return points;
}

function middle(g: Graph): Value {
  return g.constant(ndArray("uint8", [], Uint8Array.of(MIDDLE)));
}

/** Rows of a table at `indices` (int64 [...]), unpacked: [..., width]. */
export function gatherPanels(panels: QuantizedPanels, indices: Value): Value {
  const g = indices.graph;
  const [, width] = panels.data.shape as readonly [number, number, number];
  const number = (value: number): Value => g.constant(ndArray("int64", [], BigInt64Array.of(BigInt(value))));
  const rows = number(panels.rows);
  const part = (op: "Div" | "Mod"): Value => g.node({ op, inputs: [indices, rows], outputs: [indices] })[0]!;
  const first = add(mul(part("Div"), number(width * panels.rows)), part("Mod"));
  const offsets = integers(
    g,
    Array.from({ length: width }, (_, i) => i * panels.rows),
  );
  const found = gather(panels.bytes, add(reshape(first, [...indices.shape, 1]), offsets));
  return mul(cast(found, "float32"), gather(panels.scales, indices));
}

/**
 * Panels cut up into blocks, each part of a row with the row's scale. It is done once, by the runtime when it loads or by the
 * backend while it reads.
 */
export function panelsInBlocks(panels: QuantizedPanels, name: string): QuantizedBlocks {
  const { graph: g, shape } = panels.data;
  const [count, width, rows] = shape as readonly [number, number, number];
  const out = count * rows;
  const blockSize = BLOCK_SIZES.find((size) => width % size === 0);
  if (blockSize === undefined) {
    throw new PaliGemmaError(
      "graph/quantized",
      `${name} has one scale for a row of ${width}, and ${g.target.name} takes blocks of 16 to 256 only; quantise with a blockSize, such as 128`,
    );
  }
  const signed = cast(transpose(panels.data, [0, 2, 1]), "uint8");
  const bytes = g.node({ op: "BitwiseXor", inputs: [signed, middle(g)], outputs: [signed] })[0]!;
  const blocks = [out, width / blockSize];
  const scales = g.node({
    op: "Expand",
    inputs: [panels.scales, integers(g, blocks)],
    outputs: [{ dtype: "float32", shape: blocks }],
  })[0]!;
  return {
    bits: 8,
    blockSize,
    scales,
    zeroPoints: undefined,
    // Getters: a value that nobody uses must not stand in the graph.
    get data() {
      return reshape(bytes, [...blocks, blockSize]);
    },
    get rowBytes() {
      return reshape(bytes, [out, width]);
    },
  };
}
