import { PaliGemmaError } from "@paligemma/core";
import { formatShape, type Value } from "../value.ts";
import type { Weights } from "../weights.ts";
import { add, scalar } from "./elementwise.ts";

function width(x: Value): number {
  const last = x.shape.at(-1);
  if (typeof last !== "number")
    throw new PaliGemmaError("graph/shape", `norm: the last axis of ${formatShape(x.shape)} must be a number`);
  return last;
}

/** Layer norm over the last axis with `weight` and `bias` at `w`; variance is the biased one. */
export function layerNorm(x: Value, w: Weights, eps: number): Value {
  const n = width(x);
  return x.graph.node({
    op: "LayerNormalization",
    inputs: [x, w.tensor("weight", [n]), w.tensor("bias", [n])],
    attributes: { axis: { int: -1 }, epsilon: { float: eps } },
    outputs: [x],
  })[0]!;
}

/** Gemma's root-mean-square norm over the last axis: x / √(mean x² + eps) · (1 + weight). */
export function rmsNorm(x: Value, w: Weights, eps: number): Value {
  const g = x.graph;
  const scale = add(w.tensor("weight", [width(x)]), scalar(g, 1));
  const op = g.target.fused.has("SimplifiedLayerNormalization") ? "SimplifiedLayerNormalization" : "RMSNormalization";
  return g.node({
    op,
    inputs: [x, scale],
    attributes: { axis: { int: -1 }, epsilon: { float: eps } },
    outputs: [x],
  })[0]!;
}
