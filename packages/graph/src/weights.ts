import { PaliGemmaError, nearest, type DType } from "@paligemma/core";
import type { Checkpoint } from "@paligemma/weights";
import type { Graph } from "./graph.ts";
import { cast } from "./operators/elementwise.ts";
import { formatShape, sameShape, type Value } from "./value.ts";

/** A place in a checkpoint, by the names that stand in the file: `w.at("layers", 3).tensor("weight", [8, 8])`. */
export interface Weights {
  readonly graph: Graph;
  /** Prefix of all names below, without the final dot; "" at the top. */
  readonly path: string;
  at(...path: readonly (string | number)[]): Weights;
  has(name: string): boolean;
  /** The tensor in the target's arithmetic format. Throws `weights/missing` or `weights/shape`. */
  tensor(name: string, shape: readonly number[]): Value;
  /** The tensor in the file's own format, for tables that are better converted after a row was picked. */
  stored(name: string, shape: readonly number[]): Value;
}

type Lookup = (name: string, shape: readonly number[]) => Value;

function scope(
  graph: Graph,
  path: string,
  lookup: Lookup,
  has: (name: string) => boolean,
  made: Map<string, Value> = new Map<string, Value>(),
): Weights {
  const full = (name: string): string => (path === "" ? name : `${path}.${name}`);
  return {
    graph,
    path,
    at: (...parts) => scope(graph, full(parts.join(".")), lookup, has, made),
    has: (name) => has(full(name)),
    stored: (name, shape) => lookup(full(name), shape),
    tensor(name, shape) {
      const known = made.get(full(name));
      if (known && sameShape(known.shape, shape)) return known;
      const converted = cast(lookup(full(name), shape), graph.target.compute);
      made.set(full(name), converted);
      return converted;
    },
  };
}

/** The weights of a checkpoint. Nothing is read: the graph points at byte ranges. */
export function checkpointWeights(graph: Graph, checkpoint: Checkpoint): Weights {
  function lookup(name: string, shape: readonly number[]): Value {
    const ref = checkpoint.tensors.get(name);
    if (!ref) {
      const like = nearest(name, checkpoint.tensors.keys());
      throw new PaliGemmaError("weights/missing", `the checkpoint has no ${name}${like ? `; the nearest name is ${like}` : ""}`);
    }
    if (!sameShape(ref.shape, shape)) {
      throw new PaliGemmaError("weights/shape", `${name} is ${formatShape(ref.shape)}, the config asks for ${formatShape(shape)}. Do config and checkpoint belong together?`);
    }
    return graph.external(name, ref.dtype, ref.shape, ref);
  }
  return scope(graph, "", lookup, (name) => checkpoint.tensors.has(name));
}

/** Weights that are only declared: the graph then lists which tensors, of what shapes, a checkpoint must have. */
export function declaredWeights(graph: Graph, dtype: DType = "float32"): Weights {
  return scope(graph, "", (name, shape) => graph.external(name, dtype, shape), () => false);
}
