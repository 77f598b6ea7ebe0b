import type { Target } from "@paligemma/graph";
import { hasPositionFirst } from "./decoder-graph.ts";

/** How the graph of a target has the tokens of a batch: row after row, or position after position. */
export interface Grid {
  /** [batch, tokens] or [tokens, batch] */
  readonly shape: readonly number[];
  /** Values that go row after row, as the graph has them. */
  inOrder(values: readonly number[]): readonly number[];
  /** Where the graph has the element number `i` of [batch · tokens]. */
  place(i: number): number;
}

/** The order of `batch` rows of `tokens` for a target. */
export function gridOf(target: Target, batch: number, tokens: number): Grid {
  if (!hasPositionFirst(target)) return { shape: [batch, tokens], inOrder: (values) => values, place: (i) => i };
  return {
    shape: [tokens, batch],
    inOrder: (values) => values.map((_, i) => values[(i % batch) * tokens + Math.floor(i / batch)]!),
    place: (i) => (i % tokens) * batch + Math.floor(i / tokens),
  };
}
