import { PaliGemmaError, nearest, type DType } from "@paligemma/core";
import { findQuantized, quantizedFits, type Checkpoint, type TensorRef } from "@paligemma/weights";
import type { Graph } from "./graph.ts";
import { cast } from "./operators/elementwise.ts";
import { formatShape, sameShape, type Shape, type Value } from "./value.ts";

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
  /**
   * The low-rank update of the matrix [out, in], where the graph was given a place for one: inputs that are fed with every
   * run. Of a table, whose rows are looked up, `rows` asks for `a` with a row per entry.
   */
  lowRank(name: string, shape: readonly [number, number], rows?: "rows"): LowRank | undefined;
}

/** Inputs that change a matrix W [out, in] into W + b · a. */
export interface LowRank {
  /** [rank, in]; of a table [in, rank] */
  readonly a: Value;
  /** [out, rank] */
  readonly b: Value;
}

/**
 * Weights that are not built in but fed with every run, so that adapters can be swapped: whole, or as a low-rank update. Their
 * inputs are called `adapter:{name}`, and `adapter:{name}:a` and `:b`.
 */
export interface AdapterSlots {
  readonly whole: ReadonlySet<string>;
  readonly lowRank: ReadonlySet<string>;
}

/** What the names of such inputs begin with. */
export const ADAPTER_INPUT = "adapter:";

/** A block-quantised matrix in a graph; see `QuantizedTensor` of @paligemma/weights for the layout. */
export interface QuantizedMatrix {
  /** [out, in] */
  readonly shape: readonly [number, number];
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /** True where a row is one block of signed bytes. */
  readonly wholeRows: boolean;
  /** uint8 [out, blocks, bytes of a block], or int8 [out, 1, in] */
  readonly data: Value;
  /** The same bytes as rows: [out, blocks · bytes of a block]. */
  readonly rowBytes: Value;
  /** float32 [out, blocks] */
  readonly scales: Value;
  /** The scales of whole rows: float32 [out]. */
  readonly rowScales: Value;
  /** uint8 [out, ⌈blocks · bits / 8⌉] */
  readonly zeroPoints: Value | undefined;
}

const NO_SLOTS: AdapterSlots = { whole: new Set(), lowRank: new Set() };

type Lookup = (name: string, shape: readonly number[]) => Value;

function scope(
  graph: Graph,
  path: string,
  lookup: Lookup,
  has: (name: string) => boolean,
  quantized: (name: string, shape: readonly [number, number]) => QuantizedMatrix | undefined,
  lowRank: Weights["lowRank"],
  made: Map<string, Value> = new Map<string, Value>(),
): Weights {
  const full = (name: string): string => (path === "" ? name : `${path}.${name}`);
  return {
    graph,
    path,
    at: (...parts) => scope(graph, full(parts.join(".")), lookup, has, quantized, lowRank, made),
    has: (name) => has(full(name)),
    quantized: (name, shape) => quantized(full(name), shape),
    lowRank: (name, shape, rows) => lowRank(full(name), shape, rows),
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

/** The weights of a checkpoint. Nothing is read: the graph points at byte ranges. What `slots` names is fed instead. */
export function checkpointWeights(graph: Graph, checkpoint: Checkpoint, slots: AdapterSlots = NO_SLOTS): Weights {
  const inputs = new Map<string, Value>();
  function input(name: string, shape: Shape): Value {
    const known = inputs.get(name) ?? graph.input(`${ADAPTER_INPUT}${name}`, graph.target.compute, shape);
    inputs.set(name, known);
    return known;
  }

  function lookup(name: string, shape: readonly number[]): Value {
    if (slots.whole.has(name)) return input(name, shape);
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
    const found = checkpoint.tensors.has(name) || slots.whole.has(name) ? undefined : findQuantized(checkpoint, name);
    if (!found) return undefined;
    const { bits, blockSize, wholeRows, data, scales, zeroPointData } = found;
    if (!quantizedFits(found, shape)) throw misshapen(data, shape);
    const [out = 0, blocks = 0, bytes = 0] = data.shape;
    const value = (ref: TensorRef): Value => graph.external(ref.name, ref.dtype, ref.shape, ref);
    const view = (ref: TensorRef, as: string, other: readonly number[]): Value =>
      graph.external(`${ref.name}:${as}`, ref.dtype, other, ref);
    return {
      shape,
      bits,
      blockSize,
      wholeRows,
      // Getters: a value that nobody uses must not stand in the graph.
      get data() {
        return value(data);
      },
      get rowBytes() {
        return view(data, "rows", [out, blocks * bytes]);
      },
      get scales() {
        return value(scales);
      },
      get rowScales() {
        return view(scales, "rows", [out]);
      },
      get zeroPoints() {
        return zeroPointData && value(zeroPointData);
      },
    };
  }
  function lowRank(name: string, [out, width]: readonly [number, number], rows?: "rows"): LowRank | undefined {
    if (!slots.lowRank.has(name)) return undefined;
    const rank = `${name}.rank`;
    return { a: input(`${name}:a`, rows ? [width, rank] : [rank, width]), b: input(`${name}:b`, [out, rank]) };
  }
  const has = (name: string): boolean =>
    checkpoint.tensors.has(name) || slots.whole.has(name) || findQuantized(checkpoint, name) !== undefined;
  return scope(graph, "", lookup, has, quantized, lowRank);
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
    () => undefined,
  );
}

function misshapen({ name, shape }: TensorRef, asked: readonly number[]): PaliGemmaError {
  return new PaliGemmaError(
    "weights/shape",
    `${name} is ${formatShape(shape)}, the config asks for ${formatShape(asked)}. Do config and checkpoint belong together?`,
  );
}
