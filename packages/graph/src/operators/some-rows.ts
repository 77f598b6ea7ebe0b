import { PaliGemmaError } from "@paligemma/core";
import type { Target } from "../target.ts";
import { formatShape, type Value } from "../value.ts";
import type { QuantizedMatrix } from "../weights.ts";
import { cast } from "./elementwise.ts";
import { multiplyTransposed } from "./linear.ts";
import { multiplySomePanels } from "./panels.ts";
import { multiplyBlocks, mustMultiply, takesPanels } from "./quantized.ts";
import { gather } from "./shape.ts";

// Products with some rows of a weight, of which only those are read: of an output layer, say, where few tokens are allowed.

/** How rows of a weight are chosen. */
export interface Choices {
  /** Rows that can only be chosen together: those of a panel, of which `chosen` has the numbers then. */
  readonly perChoice: number;
  /** Choices of every run, where their number is fixed. */
  readonly count?: number;
}

/** Rows in blocks are multiplied by an operator that is built for a number of them: all locations and some others. */
const ROWS_OF_BLOCKS = 1152;

/** How rows are chosen of a quantised weight, or, without one, of one in any other format. */
export function choicesFor(weight: QuantizedMatrix | undefined, target: Target): Choices {
  if (!weight) return { perChoice: 1 };
  if (weight.panels && takesPanels(target)) return { perChoice: weight.panels.rows };
  return { perChoice: 1, count: ROWS_OF_BLOCKS };
}

/** x · Wᵀ for the rows `chosen` (int64 [k]) of a weight [out, in] in any format: x [n, in] → [n, k]. */
export function multiplySome(x: Value, weight: Value, chosen: Value): Value {
  return multiplyTransposed(x, cast(gather(weight, chosen), x.dtype));
}

/**
 * The same for a quantised weight, [n, k · perChoice]. Of panels the products are those of the whole weight to the last bit; rows in blocks
 * are unpacked for the product, whose x is not rounded.
 */
export function multiplySomeQuantized(x: Value, weight: QuantizedMatrix, chosen: Value): Value {
  mustMultiply(x.graph, weight);
  if (weight.panels && takesPanels(x.graph.target)) return multiplySomePanels(x, weight.panels, chosen);
  if (chosen.shape[0] !== ROWS_OF_BLOCKS)
    throw new PaliGemmaError(
      "graph/shape",
      `rows of ${weight.name} are chosen ${ROWS_OF_BLOCKS} at a time, not ${formatShape(chosen.shape)}`,
    );
  return multiplyBlocks(x, weight, undefined, (part) => gather(part, chosen), ROWS_OF_BLOCKS);
}
