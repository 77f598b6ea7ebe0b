import { PaliGemmaError, nearest, type DType } from "@paligemma/core";
import {
  findQuantized,
  quantizedFits,
  type Checkpoint,
  type QuantizedTensor,
  type TensorRef,
} from "@paligemma/weights";
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
   * Matrices [out, in] of one input as a single one, [sum of out, in], where the checkpoint has their panels side by side; else
   * undefined. In this order.
   */
  joined(names: readonly string[], shapes: readonly (readonly [number, number])[]): QuantizedMatrix | undefined;
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

/** A quantised matrix in a graph; see `QuantizedTensor` of @paligemma/weights for the layout. */
export interface QuantizedMatrix {
  /** [out, in] */
  readonly shape: readonly [number, number];
  /** Of the tensor with the numbers. */
  readonly name: string;
  /** Its parts where rows are in blocks; whole rows in panels have the others. */
  readonly blocks: QuantizedBlocks | undefined;
  readonly panels: QuantizedPanels | undefined;
}

/** Rows in blocks that share a scale. */
export interface QuantizedBlocks {
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /** uint8 [out, blocks, bytes of a block] */
  readonly data: Value;
  /** The same bytes as rows: [out, blocks · bytes of a block]. */
  readonly rowBytes: Value;
  /** float32 [out, blocks] */
  readonly scales: Value;
  /** uint8 [out, ⌈blocks · bits / 8⌉] */
  readonly zeroPoints: Value | undefined;
  /** So many rows from `first` on, as a matrix of their own; absent where the parts are no tensors of a checkpoint. */
  readonly part?: (first: number, rows: number) => QuantizedBlocks;
}

/** Whole rows of signed bytes, side by side. */
export interface QuantizedPanels {
  /** Panels, and the rows of each; out = count · rows. */
  readonly count: number;
  readonly rows: number;
  /** int8 [count, in, rows] */
  readonly data: Value;
  /** The same bytes [count, parts, 1, in / parts, rows], for rows that are multiplied one at a time. */
  readonly apart: (parts: number) => Value;
  /** The same bytes in one line. */
  readonly bytes: Value;
  /** float32 [out, 1] */
  readonly scales: Value;
  /** The same: [count, 1, rows]. */
  readonly panelScales: Value;
  /** The sum of each row: int32 [count, 1, rows]. */
  readonly panelSums: Value;
  /** Scales and sums, each [out]. */
  readonly rowScales: Value;
  readonly rowSums: Value;
}

const NO_SLOTS: AdapterSlots = { whole: new Set(), lowRank: new Set() };

type Lookup = (name: string, shape: readonly number[]) => Value;

function scope(
  graph: Graph,
  path: string,
  lookup: Lookup,
  has: (name: string) => boolean,
  quantized: (name: string, shape: readonly [number, number]) => QuantizedMatrix | undefined,
  joined: Weights["joined"],
  lowRank: Weights["lowRank"],
  made: Map<string, Value> = new Map<string, Value>(),
): Weights {
  const full = (name: string): string => (path === "" ? name : `${path}.${name}`);
  return {
    graph,
    path,
    at: (...parts) => scope(graph, full(parts.join(".")), lookup, has, quantized, joined, lowRank, made),
    has: (name) => has(full(name)),
    quantized: (name, shape) => quantized(full(name), shape),
    joined: (names, shapes) => joined(names.map(full), shapes),
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
    if (!quantizedFits(found, shape)) throw misshapen(found.data, shape);
    return matrixOf(found, shape);
  }

  function joined(
    names: readonly string[],
    shapes: readonly (readonly [number, number])[],
  ): QuantizedMatrix | undefined {
    if (names.some((name) => slots.whole.has(name) || slots.lowRank.has(name))) return undefined;
    const found = names.map((name) => findQuantized(checkpoint, name));
    if (!found.every((one, i) => one && quantizedFits(one, shapes[i]!))) return undefined;
    const whole = sideBySide(found as readonly QuantizedTensor[]);
    return whole && matrixOf(whole, whole.shape);
  }

  function matrixOf(stored: QuantizedTensor, shape: readonly [number, number]): QuantizedMatrix {
    const { sums } = stored;
    const parts = sums
      ? { blocks: undefined, panels: panels(stored, sums) }
      : { blocks: blocks(stored), panels: undefined };
    return { shape, name: stored.data.name, ...parts };
  }

  const value = (ref: TensorRef): Value => graph.external(ref.name, ref.dtype, ref.shape, ref);
  const view = (ref: TensorRef, as: string, other: readonly number[]): Value =>
    graph.external(`${ref.name}:${as}`, ref.dtype, other, ref);

  // Getters: a value that nobody uses must not stand in the graph.
  function blocks({ bits, blockSize, data, scales, zeroPointData }: QuantizedTensor): QuantizedBlocks {
    const [out = 0, count = 0, bytes = 0] = data.shape;
    return {
      bits,
      blockSize,
      get data() {
        return value(data);
      },
      get rowBytes() {
        return view(data, "rows", [out, count * bytes]);
      },
      get scales() {
        return value(scales);
      },
      get zeroPoints() {
        return zeroPointData && value(zeroPointData);
      },
      part: (first, rows) =>
        blocks({
          bits,
          blockSize,
          shape: [rows, count * blockSize],
          zeroPoints: zeroPointData !== undefined,
          data: rowsOf(data, first, rows),
          scales: rowsOf(scales, first, rows),
          ...(zeroPointData && { zeroPointData: rowsOf(zeroPointData, first, rows) }),
        }),
    };
  }

  function panels({ data, scales }: QuantizedTensor, sums: TensorRef): QuantizedPanels {
    const [count = 0, width = 0, rows = 0] = data.shape;
    return {
      count,
      rows,
      get data() {
        return value(data);
      },
      apart: (parts) => view(data, `${parts} parts`, [count, parts, 1, width / parts, rows]),
      get bytes() {
        return view(data, "bytes", [count * width * rows]);
      },
      get scales() {
        return value(scales);
      },
      get panelScales() {
        return view(scales, "panels", [count, 1, rows]);
      },
      get panelSums() {
        return view(sums, "panels", [count, 1, rows]);
      },
      get rowScales() {
        return view(scales, "rows", [count * rows]);
      },
      get rowSums() {
        return value(sums);
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
  return scope(graph, "", lookup, has, quantized, joined, lowRank);
}

/** So many rows of a tensor from `first` on. */
function rowsOf(ref: TensorRef, first: number, rows: number): TensorRef {
  const each = (ref.end - ref.start) / ref.shape[0]!;
  return {
    ...ref,
    name: `${ref.name}:${rows} from ${first}`,
    shape: [rows, ...ref.shape.slice(1)],
    start: ref.start + first * each,
    end: ref.start + (first + rows) * each,
  };
}

/** Several matrices of whole rows as one, where their parts follow each other in the file. */
function sideBySide(parts: readonly QuantizedTensor[]): QuantizedTensor | undefined {
  const [first] = parts;
  const [, width, rows] = first!.data.shape;
  if (!parts.every(({ data, sums }) => sums && data.shape[1] === width && data.shape[2] === rows)) return undefined;
  const out = parts.reduce((sum, { shape }) => sum + shape[0], 0);
  const data = following(
    parts.map((part) => part.data),
    [out / rows!, width!, rows!],
  );
  const scales = following(
    parts.map((part) => part.scales),
    [out, 1],
  );
  const sums = following(
    parts.map((part) => part.sums!),
    [out],
  );
  return data && scales && sums && { ...first!, shape: [out, width!], data, scales, sums };
}

/** Tensors that follow each other in one file, as one of that shape. */
function following(refs: readonly TensorRef[], shape: readonly number[]): TensorRef | undefined {
  const follows = refs.every(
    ({ source, start }, i) => i === 0 || (source === refs[i - 1]!.source && start === refs[i - 1]!.end),
  );
  const name = refs.map((ref) => ref.name).join(" and ");
  return follows ? { ...refs[0]!, name, shape, end: refs.at(-1)!.end } : undefined;
}

/** A tensor in the format of x, which may be wider than the arithmetic format. */
export function tensorLike(x: Value, w: Weights, name: string, shape: readonly number[]): Value {
  return x.dtype === x.graph.target.compute ? w.tensor(name, shape) : cast(w.stored(name, shape), x.dtype);
}

/** What the names of weights that are fed with every run begin with. */
export const FED_INPUT = "weight:";
/** What the names of their scales end with. */
export const FED_SCALES = ":scales";

/**
 * Weights that are fed with every run, for a graph that does for many layers: inputs `weight:{name}`, in the arithmetic format. Matrices
 * are bytes in panels, int8 [panels, in, rows of a panel] with `weight:{name}:scales` float32 [panels, 1, rows of a panel], and only for
 * dimensions that are many. `rowsOfPanel` says how many rows a panel of a matrix [out, in] has.
 */
export function fedWeights(graph: Graph, rowsOfPanel: (shape: readonly [number, number]) => number): Weights {
  const inputs = new Map<string, Value>();
  function input(name: string, dtype: DType, shape: readonly number[]): Value {
    const known = inputs.get(name) ?? graph.input(`${FED_INPUT}${name}`, dtype, shape);
    inputs.set(name, known);
    return known;
  }
  const whole = (name: string, shape: readonly number[]): Value => input(name, graph.target.compute, shape);
  function quantized(name: string, shape: readonly [number, number]): QuantizedMatrix {
    const rows = rowsOfPanel(shape);
    const count = shape[0] / rows;
    const absent = (): never => {
      throw new PaliGemmaError("graph/quantized", `${name} is fed with every run, and multiplies many rows only`);
    };
    return {
      shape,
      name,
      blocks: undefined,
      panels: {
        count,
        rows,
        get data() {
          return input(name, "int8", [count, shape[1], rows]);
        },
        get panelScales() {
          return input(`${name}${FED_SCALES}`, "float32", [count, 1, rows]);
        },
        apart: absent,
        get bytes() {
          return absent();
        },
        get scales() {
          return absent();
        },
        get panelSums() {
          return absent();
        },
        get rowScales() {
          return absent();
        },
        get rowSums() {
          return absent();
        },
      },
    };
  }
  const nothing = (): undefined => undefined;
  return scope(graph, "", whole, () => true, quantized, nothing, nothing);
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
    () => undefined,
  );
}

function misshapen({ name, shape }: TensorRef, asked: readonly number[]): PaliGemmaError {
  return new PaliGemmaError(
    "weights/shape",
    `${name} is ${formatShape(shape)}, the config asks for ${formatShape(asked)}. Do config and checkpoint belong together?`,
  );
}
