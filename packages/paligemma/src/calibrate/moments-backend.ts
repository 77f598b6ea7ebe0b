import type { Backend, CompileOptions, RunOptions, Session } from "@paligemma/backend";
import { ndArray } from "@paligemma/core";
import type { GraphModel, Initializer, Node } from "@paligemma/graph";
import { MOMENT_COLUMNS } from "@paligemma/quantization";

// A backend that runs graphs as they are, and beside that adds up the second moments of what each matrix is multiplied with.

const PREFIX = "moments/";

/** Sums over the rows that matrices were multiplied with. */
interface Sums {
  readonly products: Float64Array;
  rows: number;
}

/** A backend that watches, and what it has seen. */
export interface MomentsBackend {
  readonly backend: Backend;
  /** False: runs are passed over. */
  watching: boolean;
  /** E[x xᵀ] for 128 columns at a time, by the name of the matrix as its checkpoint has it. */
  moments(): ReadonlyMap<string, Float32Array>;
}

/** Watches the products of `backend`'s graphs with matrices of a checkpoint, [rows, in] · [out, in]ᵀ. */
export function momentsBackend(backend: Backend): MomentsBackend {
  /** One for all matrices that are multiplied with the same rows. */
  const sums = new Map<string, Sums>();
  const operandOf = new Map<string, string>();

  function add(operand: string, products: Float32Array, rows: number): void {
    const own = sums.get(operand) ?? { products: new Float64Array(products.length), rows: 0 };
    sums.set(operand, own);
    for (let i = 0; i < products.length; i++) own.products[i]! += products[i]!;
    own.rows += rows;
  }

  async function compile(model: GraphModel, options?: CompileOptions): Promise<Session> {
    const { watched, operands } = watch(model);
    const session = await backend.compile(watched, options);
    for (const { name, matrices } of operands)
      for (const matrix of matrices) operandOf.set(matrix, `${model.name}/${name}`);
    const names = operands.flatMap(({ products, shape }) => [products, shape]);
    return {
      model,
      async run(feeds, run: RunOptions) {
        if (!watcher.watching) return await session.run(feeds, run);
        const result = await session.run(feeds, { ...run, host: [...(run.host ?? []), ...names] });
        for (const { name, products, shape } of operands)
          add(
            `${model.name}/${name}`,
            result.host[products]!.data as Float32Array,
            Number(result.host[shape]!.data[0]),
          );
        const host = Object.fromEntries(Object.entries(result.host).filter(([name]) => !name.startsWith(PREFIX)));
        return { host, device: result.device };
      },
      dispose: () => session.dispose(),
      [Symbol.asyncDispose]: () => session.dispose(),
    };
  }

  function moments(): ReadonlyMap<string, Float32Array> {
    const means = new Map(
      [...sums].map(
        ([operand, { products, rows }]) => [operand, Float32Array.from(products, (x) => x / rows)] as const,
      ),
    );
    return new Map(
      [...operandOf].flatMap(([matrix, operand]) =>
        means.has(operand) ? [[matrix, means.get(operand)!] as const] : [],
      ),
    );
  }

  const watcher: MomentsBackend = {
    watching: true,
    backend: {
      name: backend.name,
      // Graphs that compute all rows, in products.
      target: { ...backend.target, fused: new Set([...backend.target.fused].filter((op) => op !== "Einsum")) },
      compile,
      allocate: (dtype, shape) => backend.allocate(dtype, shape),
      upload: (array) => backend.upload(array),
      download: (tensor) => backend.download(tensor),
      copy: (from, to) => backend.copy(from, to),
      dispose: () => backend.dispose(),
      [Symbol.asyncDispose]: () => backend.dispose(),
    },
    moments,
  };
  return watcher;
}

/** What matrices are multiplied with, [rows, in], and the outputs that tell of it. */
interface Operand {
  readonly name: string;
  readonly matrices: string[];
  readonly products: string;
  readonly shape: string;
}

/** The graph with two more outputs for each operand of products: xᵀx in blocks [⌈in / 128⌉, 128, 128], and its shape. */
function watch(model: GraphModel): { readonly watched: GraphModel; readonly operands: readonly Operand[] } {
  const initializers = new Map(model.initializers.map((tensor) => [tensor.name, tensor]));
  const makers = new Map(model.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const operands = new Map<string, Operand>();
  const nodes: Node[] = [];
  const outputs = [...model.outputs];
  const constants = new Map<string, Initializer>();
  const constant = (values: readonly number[]): string => {
    const name = `${PREFIX}${values.join("x")}`;
    const data = ndArray("int64", [values.length], BigInt64Array.from(values.map(BigInt)));
    constants.set(name, { name, dtype: "int64", shape: [values.length], data });
    return name;
  };
  for (const { op, inputs } of model.nodes) {
    const matrices = op === "Gemm" ? matricesIn(inputs[1]!, initializers, makers) : [];
    if (matrices.length === 0) continue;
    const flat = inputs[0]!;
    const maker = makers.get(flat);
    // What is multiplied with several matrices is laid out as rows for each of them.
    const name = maker?.op === "Reshape" ? maker.inputs[0]! : flat;
    const known = operands.get(name);
    if (known) {
      known.matrices.push(...matrices);
      continue;
    }
    const [products, shape] = [`${PREFIX}${name}/products`, `${PREFIX}${name}/shape`];
    operands.set(name, { name, matrices: [...matrices], products, shape });
    const width = initializers.get(matrices[0]!)!.shape[1]!;
    const blocks = Math.ceil(width / MOMENT_COLUMNS);
    const made = (what: string): string => `${PREFIX}${name}/${what}`;
    const node = (
      what: string,
      nodeOp: string,
      from: readonly string[],
      attributes: Node["attributes"] = {},
    ): string => {
      nodes.push({
        op: nodeOp,
        domain: "",
        name: `${made(what)}.node`,
        inputs: from,
        outputs: [made(what)],
        attributes,
      });
      return made(what);
    };
    const padded = node("padded", "Pad", [flat, constant([0, 0, 0, blocks * MOMENT_COLUMNS - width])]);
    const cut = node("cut", "Reshape", [padded, constant([-1, blocks, MOMENT_COLUMNS])]);
    const rowsLast = node("rows-last", "Transpose", [cut], { perm: { ints: [1, 2, 0] } });
    const rowsFirst = node("rows-first", "Transpose", [cut], { perm: { ints: [1, 0, 2] } });
    node("products", "MatMul", [rowsLast, rowsFirst]);
    node("shape", "Shape", [flat]);
    outputs.push(
      { name: products, dtype: model.target.compute, shape: [blocks, MOMENT_COLUMNS, MOMENT_COLUMNS] },
      { name: shape, dtype: "int64", shape: [2] },
    );
  }
  const added = [...constants.values()];
  return {
    watched: { ...model, nodes: [...model.nodes, ...nodes], outputs, initializers: [...model.initializers, ...added] },
    operands: [...operands.values()],
  };
}

/** Names of the checkpoint's matrices that a value is made of by casts and by laying them one below the other. */
function matricesIn(
  value: string,
  initializers: ReadonlyMap<string, Initializer>,
  makers: ReadonlyMap<string, Node>,
): readonly string[] {
  const initializer = initializers.get(value);
  if (initializer) return initializer.ref && initializer.shape.length === 2 ? [value] : [];
  const maker = makers.get(value);
  if (maker?.op !== "Cast" && maker?.op !== "Concat") return [];
  return maker.inputs.flatMap((input) => matricesIn(input, initializers, makers));
}
