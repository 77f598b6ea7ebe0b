import type { DType } from "@paligemma/core";
import type { Graph } from "./graph.ts";

/** One dimension: a number, or the name of a size that is known when the graph runs ("batch", "tokens"). */
export type Dim = number | string;

/** Dimensions, outermost first. */
export type Shape = readonly Dim[];

/** Number format and dimensions of a value. */
export interface ValueType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** A tensor that the graph will compute. It carries its graph, so operators are free functions. */
export interface Value extends ValueType {
  readonly graph: Graph;
  /** Unique in its graph. */
  readonly name: string;
}

/** "[batch, tokens, 2048]" */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** True where both have the same rank and dimensions, names compared as names. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dimension, i) => dimension === b[i]);
}
