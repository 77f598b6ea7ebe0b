import type { Shape, Value } from "../value.ts";

/** Sums of products in float32, as `equation` says in the notation of Einstein: "rk,nk->rn" is a · bᵀ. `shape` is that of the result. */
export function einsum(equation: string, inputs: readonly Value[], shape: Shape): Value {
  const { graph, dtype } = inputs[0]!;
  const attributes = { equation: { string: equation } };
  return graph.node({ op: "Einsum", inputs, attributes, outputs: [{ dtype, shape }] })[0]!;
}
