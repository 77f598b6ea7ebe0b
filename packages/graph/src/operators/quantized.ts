import { PaliGemmaError } from "@paligemma/core";
import type { Graph } from "../graph.ts";
import type { Target } from "../target.ts";
import { formatShape, type Value } from "../value.ts";
import type { QuantizedBlocks, QuantizedMatrix } from "../weights.ts";
import { gatherPanels, multiplyPanels, panelsInBlocks } from "./panels.ts";
import { concat, slice } from "./shape.ts";

/** Arithmetic in 8-bit integers, each row of x with a scale of its own; the other levels are many times slower on a CPU. */
const INTEGER_ARITHMETIC = 4;

/** x · Wᵀ (+ b) with a quantised weight [out, in], which stays packed. x [..., in] → [..., out]. */
export function multiplyQuantized(x: Value, weight: QuantizedMatrix, bias?: Value): Value {
  mustMultiply(x.graph, weight);
  const [, input] = weight.shape;
  if (x.shape.at(-1) !== input) {
    throw new PaliGemmaError(
      "graph/shape",
      `linear: ${formatShape(x.shape)} does not fit the weight ${weight.name} ${formatShape(weight.shape)}: ${x.shape.at(-1)} against ${input}`,
    );
  }
  return weight.panels && takesPanels(x.graph.target)
    ? multiplyPanels(x, weight.panels, bias)
    : multiplyInParts(x, weight, bias);
}

/**
 * Bytes of scales that the runtime copies at once while it packs weights: 8 MiB. What a C library is given back of up to 32 MB it keeps for
 * the next who asks, and from then on also what else is as large.
 */
const MOST_SCALES = 2 ** 23;

/** The same in blocks, of a large matrix so many rows after the other. */
function multiplyInParts(x: Value, weight: QuantizedMatrix, bias: Value | undefined): Value {
  const { shape, blocks } = weight;
  const [out, input] = shape;
  const scales = out * Math.ceil(input / (blocks?.blockSize ?? input)) * Float32Array.BYTES_PER_ELEMENT;
  const parts = Math.ceil(scales / MOST_SCALES);
  const { part } = blocks ?? {};
  if (parts === 1 || bias || !part || !x.graph.target.mapsFiles)
    return multiplyBlocks(x, weight, bias, (all) => all, out);
  const rows = Math.ceil(out / parts);
  const products = Array.from({ length: parts }, (_, i) => {
    const count = Math.min(rows, out - i * rows);
    const some = { ...weight, shape: [count, input] as const, blocks: part(i * rows, count) };
    return multiplyBlocks(x, some, undefined, (all) => all, count);
  });
  return concat(products, x.shape.length - 1);
}

/** The same in blocks, with what `pick` leaves of the rows of each part: so many. */
export function multiplyBlocks(
  x: Value,
  weight: QuantizedMatrix,
  bias: Value | undefined,
  pick: (part: Value) => Value,
  rows: number,
): Value {
  const [, input] = weight.shape;
  const { bits, blockSize, data, scales, zeroPoints } = blocksOf(weight);
  const [b, scale, zero] = [pick(data), pick(scales), zeroPoints && pick(zeroPoints)];
  return x.graph.node({
    op: "MatMulNBits",
    domain: "com.microsoft",
    inputs: [x, b, scale, ...(zero || bias ? [zero, undefined, bias] : [])],
    attributes: {
      K: { int: input },
      N: { int: rows },
      bits: { int: bits },
      block_size: { int: blockSize },
      accuracy_level: { int: INTEGER_ARITHMETIC },
    },
    outputs: [{ dtype: x.dtype, shape: [...x.shape.slice(0, -1), rows] }],
  })[0]!;
}

/** Rows of a quantised table [rows, width] at `indices` (int64 [...]), unpacked: [..., width]. */
export function gatherQuantized(table: QuantizedMatrix, indices: Value): Value {
  const g = indices.graph;
  mustMultiply(g, table);
  if (table.panels && takesPanels(g.target)) return gatherPanels(table.panels, indices);
  const [, width] = table.shape;
  const { bits, blockSize, rowBytes, scales, zeroPoints } = blocksOf(table);
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
  return slice(found, indices.shape.length, [0, width], width);
}

/** True where the target multiplies whole rows as they lie, in panels. */
export function takesPanels(target: Target): boolean {
  return target.fused.has("MatMulInteger");
}

/** The weight in blocks, for operators that know nothing else. */
function blocksOf({ blocks, panels, name }: QuantizedMatrix): QuantizedBlocks {
  return blocks ?? panelsInBlocks(panels!, name);
}

/** Throws `graph/quantized` where the target cannot multiply with quantised weights. */
export function mustMultiply({ target }: Graph, weight: QuantizedMatrix): void {
  if (target.fused.has("MatMulNBits") && target.compute === "float32") return;
  throw new PaliGemmaError(
    "graph/quantized",
    `${weight.name} is quantised, and ${target.name} cannot multiply with it in ${target.compute}; use the checkpoint that the bundle was made from, or another device`,
  );
}
