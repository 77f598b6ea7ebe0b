import { PaliGemmaError } from "@paligemma/core";
import { formatShape, type Value } from "../value.ts";
import type { QuantizedPanels, Weights } from "../weights.ts";
import { geluTanh, mul } from "./elementwise.ts";
import { linear, linears } from "./linear.ts";
import { perceptronOfPanels, type PerceptronPanels } from "./panels.ts";
import { takesPanels } from "./quantized.ts";

/** The names of a perceptron's linear layers, and its size; with a gate, or with biases. */
export type PerceptronOptions = {
  readonly up: string;
  readonly down: string;
  /** Numbers that `up` makes of each row. */
  readonly hiddenSize: number;
} & (
  | {
      /** GELU is taken of what this layer makes, and multiplied with what `up` makes. */
      readonly gate: string;
      readonly bias?: never;
    }
  | { readonly gate?: never; readonly bias?: boolean }
);

/**
 * Two linear layers with GELU's tanh form between them, down(gelu(up(x))), or, gated, down(gelu(gate(x)) ⊙ up(x)). x [..., in] → [..., in]
 */
export function perceptron(x: Value, w: Weights, options: PerceptronOptions): Value {
  const { gate, up, down, hiddenSize, bias = false } = options;
  const width = x.shape.at(-1);
  if (typeof width !== "number")
    throw new PaliGemmaError("graph/shape", `perceptron: the last axis of ${formatShape(x.shape)} must be a number`);
  const panels = panelsOf(x, w, options, width);
  if (panels) {
    const biasOf = (name: string, size: number): Value => w.at(name).tensor("bias", [size]);
    return perceptronOfPanels(x, panels, bias ? { up: biasOf(up, hiddenSize), down: biasOf(down, width) } : undefined);
  }
  if (gate === undefined)
    return linear(geluTanh(linear(x, w.at(up), hiddenSize, { bias })), w.at(down), width, { bias });
  const [opening, content] = linears(x, w, { [gate]: hiddenSize, [up]: hiddenSize });
  return linear(mul(geluTanh(opening!), content!), w.at(down), width);
}

/** The panels of all layers, where rows are many and nothing but panels is multiplied with. */
function panelsOf(
  { graph: g, shape }: Value,
  w: Weights,
  { gate, up, down, hiddenSize }: PerceptronOptions,
  width: number,
): PerceptronPanels | undefined {
  if (shape.length !== 2 || !takesPanels(g.target) || !g.isMany(shape[0]!)) return undefined;
  const panels = (name: string, of: readonly [number, number]): QuantizedPanels | undefined =>
    w.at(name).lowRank("weight", of) ? undefined : w.at(name).quantized("weight", of)?.panels;
  const first = (name: string): QuantizedPanels | undefined => panels(name, [hiddenSize, width]);
  const [gating, content, last] = [
    gate === undefined ? undefined : first(gate),
    first(up),
    panels(down, [width, hiddenSize]),
  ];
  // What is multiplied number by number must lie alike.
  const alike = gate === undefined || gating?.rows === content?.rows;
  return content && last && alike ? { gate: gating, up: content, down: last } : undefined;
}
