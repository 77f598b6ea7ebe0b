import { ndArray } from "@paligemma/core";
import { cast, gather, reshape, scalar, sub, where, type Graph, type Value, type ValueType } from "@paligemma/graph";

/** Added to the score of a place that may not be seen; finite, so that a row that sees nothing gives no NaN. */
const HIDDEN = { float32: -1e30, bfloat16: -1e30, float16: -6e4 } as const;

/** Names of the sizes that a mask is made from. */
export interface MaskSizes {
  readonly batch: string;
  /** Tokens of this run. */
  readonly tokens: string;
  /** Positions in the cache. */
  readonly past: string;
  /** past + tokens */
  readonly total: string;
}

/**
 * What is added to attention scores, [batch, 1, tokens, total], worked out in the graph from `attention_mask`
 * (int64 [batch, total]): a run with an empty cache is a prompt, whose tokens all see each other; later runs are causal, and
 * narrowed to `window` where one is given. Padding is never seen.
 */
export function graphMask(attentionMask: Value, sizes: MaskSizes, window?: number | null): Value {
  const g = attentionMask.graph;
  const past = scalarSize(g, sizes.past);
  const total = scalarSize(g, sizes.total);
  const keys = range(g, integer(g, 0), total, sizes.total); // [total]
  const queries = reshape(range(g, past, total, sizes.tokens), [sizes.tokens, 1]);
  const seen = [sizes.tokens, sizes.total];
  let open = bool(g, "LessOrEqual", [keys, queries], seen);
  if (window) open = bool(g, "And", [open, bool(g, "Greater", [keys, sub(queries, integer(g, window))], seen)], seen);
  open = bool(g, "Or", [open, bool(g, "Equal", [past, integer(g, 0)], [])], seen);
  const valid = reshape(cast(attentionMask, "bool"), [sizes.batch, 1, 1, sizes.total]);
  const visible = bool(g, "And", [valid, open], [sizes.batch, 1, ...seen]);
  return where(visible, scalar(g, 0), scalar(g, HIDDEN[g.target.compute]));
}

function bool(g: Graph, op: string, inputs: readonly Value[], shape: ValueType["shape"]): Value {
  return g.node({ op, inputs, outputs: [{ dtype: "bool", shape }] })[0]!;
}

function range(g: Graph, start: Value, end: Value, size: string): Value {
  return g.node({ op: "Range", inputs: [start, end, integer(g, 1)], outputs: [{ dtype: "int64", shape: [size] }] })[0]!;
}

function integer(g: Graph, value: number): Value {
  return g.constant(ndArray("int64", [], BigInt64Array.of(BigInt(value))));
}

function scalarSize(g: Graph, name: string): Value {
  return gather(g.size(name), integer(g, 0));
}
