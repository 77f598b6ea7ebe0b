import { PaliGemmaError } from "@paligemma/core";
import { formatShape, type Value } from "../value.ts";
import { tensorLike, type Weights } from "../weights.ts";
import { add, cast, scalar } from "./elementwise.ts";

function width(x: Value): number {
  const last = x.shape.at(-1);
  if (typeof last !== "number")
    throw new PaliGemmaError("graph/shape", `norm: the last axis of ${formatShape(x.shape)} must be a number`);
  return last;
}

/**
 * Layer norm over the last axis with `weight` and `bias` at `w`; variance is the biased one. Computed in the format of x,
 * handed out in the arithmetic format.
 */
export function layerNorm(x: Value, w: Weights, eps: number): Value {
  const [normed] = x.graph.node({
    op: "LayerNormalization",
    inputs: [x, tensorLike(x, w, "weight", [width(x)]), tensorLike(x, w, "bias", [width(x)])],
    attributes: { axis: { int: -1 }, epsilon: { float: eps } },
    outputs: [x],
  });
  return cast(normed!, x.graph.target.compute);
}

/**
 * Gemma's root-mean-square norm over the last axis: x / √(mean x² + eps) · (1 + weight). Computed in the format of x, handed
 * out in the arithmetic format.
 */
export function rmsNorm(x: Value, w: Weights, eps: number): Value {
  const g = x.graph;
  const scale = add(tensorLike(x, w, "weight", [width(x)]), scalar(g, 1, x.dtype as "float32"));
  const op = g.target.fused.has("SimplifiedLayerNormalization") ? "SimplifiedLayerNormalization" : "RMSNormalization";
  const [normed] = g.node({
    op,
    inputs: [x, scale],
    attributes: { axis: { int: -1 }, epsilon: { float: eps } },
    outputs: [x],
  });
  return cast(normed!, g.target.compute);
}
