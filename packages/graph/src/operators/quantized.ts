import { PaliGemmaError } from "@paligemma/core";
import type { Graph } from "../graph.ts";
import type { Target } from "../target.ts";
import { formatShape, type Value } from "../value.ts";
import type { QuantizedBlocks, QuantizedMatrix } from "../weights.ts";
import { add } from "./elementwise.ts";
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
 * Bytes of scales that the runtime copies at once while it packs a matrix: 8 MiB. A C library that was given back up to 32 MB keeps it for
 * whoever asks next, and from then on everything else of that size as well.
 */
const MOST_SCALES = 2 ** 23;

/** The same in blocks, where weights are packed from files so many rows of a large matrix after the other. */
function multiplyInParts(x: Value, weight: QuantizedMatrix, bias: Value | undefined): Value {
  const [out, input] = weight.shape;
  const { part, blockSize = input } = weight.blocks ?? {};
  const parts = Math.ceil((out * Math.ceil(input / blockSize) * Float32Array.BYTES_PER_ELEMENT) / MOST_SCALES);
  const product = (of: QuantizedMatrix, added?: Value): Value =>
    multiplyBlocks(x, of, added, (all) => all, of.shape[0]);
  if (parts === 1 || !part || !x.graph.target.mapsFiles) return product(weight, bias);
  const rows = Math.ceil(out / parts);
  const products = Array.from({ length: parts }, (_, i) => {
    const count = Math.min(rows, out - i * rows);
    return product({ ...weight, shape: [count, input], blocks: part(i * rows, count) });
  });
  const y = concat(products, x.shape.length - 1);
  return bias ? add(y, bias) : y;
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
