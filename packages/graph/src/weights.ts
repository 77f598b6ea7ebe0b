import { PaliGemmaError, nearest, type DType } from "@paligemma/core";
import { findQuantized, quantizedFits, type Checkpoint, type TensorRef } from "@paligemma/weights";
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
  /** The matrix [out, in] where the checkpoint has it quantised, else undefined. Throws `weights/shape` or `weights/quantized`. */
  quantized(name: string, shape: readonly [number, number]): QuantizedMatrix | undefined;
}

/** A block-quantised matrix in a graph; see `QuantizedTensor` of @paligemma/weights for the layout. */
export interface QuantizedMatrix {
  /** [out, in] */
  readonly shape: readonly [number, number];
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /** uint8 [out, blocks, bytes of a block] */
  readonly data: Value;
  /** The same bytes as rows: uint8 [out, blocks · bytes of a block]. */
  readonly rowBytes: Value;
  /** float32 [out, blocks] */
  readonly scales: Value;
  /** uint8 [out, ⌈blocks · bits / 8⌉] */
  readonly zeroPoints: Value | undefined;
}

type Lookup = (name: string, shape: readonly number[]) => Value;

function scope(
  graph: Graph,
  path: string,
  lookup: Lookup,
  has: (name: string) => boolean,
  quantized: (name: string, shape: readonly [number, number]) => QuantizedMatrix | undefined,
  made: Map<string, Value> = new Map<string, Value>(),
): Weights {
  const full = (name: string): string => (path === "" ? name : `${path}.${name}`);
  return {
    graph,
    path,
    at: (...parts) => scope(graph, full(parts.join(".")), lookup, has, quantized, made),
    has: (name) => has(full(name)),
    quantized: (name, shape) => quantized(full(name), shape),
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
      throw new PaliGemmaError(
        "weights/missing",
        `the checkpoint has no ${name}${like ? `; the nearest name is ${like}` : ""}`,
      );
    }
    if (!sameShape(ref.shape, shape)) throw misshapen(ref, shape);
    return graph.external(name, ref.dtype, ref.shape, ref);
  }

  function quantized(name: string, shape: readonly [number, number]): QuantizedMatrix | undefined {
    const found = checkpoint.tensors.has(name) ? undefined : findQuantized(checkpoint, name);
    if (!found) return undefined;
    const { bits, blockSize, data, scales, zeroPointData } = found;
    if (!quantizedFits(found, shape)) throw misshapen(data, shape);
    const [out = 0, blocks = 0, bytes = 0] = data.shape;
    const value = (ref: TensorRef): Value => graph.external(ref.name, ref.dtype, ref.shape, ref);
    return {
      shape,
      bits,
      blockSize,
      data: value(data),
      // A getter: a value that nobody uses must not stand in the graph.
      get rowBytes() {
        return graph.external(`${data.name}:rows`, data.dtype, [out, blocks * bytes], data);
      },
      scales: value(scales),
      zeroPoints: zeroPointData && value(zeroPointData),
    };
  }
  const has = (name: string): boolean => checkpoint.tensors.has(name) || findQuantized(checkpoint, name) !== undefined;
  return scope(graph, "", lookup, has, quantized);
}

/** A tensor in the format of x, which may be wider than the arithmetic format. */
export function tensorLike(x: Value, w: Weights, name: string, shape: readonly number[]): Value {
  return x.dtype === x.graph.target.compute ? w.tensor(name, shape) : cast(w.stored(name, shape), x.dtype);
}

/** Weights that are only declared: the graph then lists which tensors, of what shapes, a checkpoint must have. */
export function declaredWeights(graph: Graph, dtype: DType = "float32"): Weights {
  return scope(
    graph,
    "",
    (name, shape) => graph.external(name, dtype, shape),
    () => false,
    () => undefined,
  );
}

function misshapen({ name, shape }: TensorRef, asked: readonly number[]): PaliGemmaError {
  return new PaliGemmaError(
    "weights/shape",
    `${name} is ${formatShape(shape)}, the config asks for ${formatShape(asked)}. Do config and checkpoint belong together?`,
  );
}
