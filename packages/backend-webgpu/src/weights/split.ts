import { bytesFor, ndArray, sizeOf } from "@paligemma/core";
import type { GraphModel, Initializer, Node } from "@paligemma/graph";
import type { LoadedWeight } from "./plan.ts";

/** onnx.proto, TensorProto.DataType. */
const INT32 = 6;

/** A graph and its weights, none of them larger than a buffer where that can be helped. */
export interface SplitWeights {
  readonly model: GraphModel;
  readonly weights: readonly LoadedWeight[];
}

/**
 * Tables [rows, width] of more than `maxBytes` cut into parts of whole rows, where the graph only picks their rows (Gather) or
 * multiplies with them (x · Wᵀ): rows are picked from the part that has them, products are put side by side. Other
 * tensors stay as they are.
 */
export function splitTables(model: GraphModel, weights: readonly LoadedWeight[], maxBytes: number): SplitWeights {
  let split: SplitWeights = { model, weights };
  for (const weight of weights) {
    const { shape, dtype, name } = weight;
    const [rows = 0] = shape;
    const bytes = bytesFor(dtype, sizeOf(shape));
    const users = model.nodes.filter(({ inputs }) => inputs.includes(name));
    const most = Math.floor(maxBytes / (bytes / rows));
    if (bytes <= maxBytes || shape.length !== 2 || most === 0 || !users.every((node) => divides(node, name))) continue;
    split = splitTable(split, weight, Math.ceil(rows / Math.ceil(rows / most)));
  }
  return split;
}

function divides({ op, inputs, attributes }: Node, name: string): boolean {
  const flag = (key: string): number => {
    const value = attributes[key];
    return value && "int" in value ? value.int : 0;
  };
  if (op === "Gather") return inputs[0] === name && inputs[1] !== name && flag("axis") === 0;
  const equation = attributes["equation"] ?? {};
  const looped = op === "Einsum" && "string" in equation && equation.string === "rk,nk->rn";
  const isProduct = looped || (op === "Gemm" && flag("transB") === 1);
  return inputs.length === 2 && inputs[1] === name && inputs[0] !== name && isProduct;
}

function splitTable({ model, weights }: SplitWeights, table: LoadedWeight, rowsPerPart: number): SplitWeights {
  const { name, ref, dtype } = table;
  const [rows = 0, width = 0] = table.shape;
  const rowBytes = (ref.end - ref.start) / rows;
  const parts: LoadedWeight[] = [];
  for (let first = 0; first < rows; first += rowsPerPart) {
    const end = Math.min(rows, first + rowsPerPart);
    const part = `${name}:rows ${first}-${end}`;
    const shape = [end - first, width];
    const start = ref.start + first * rowBytes;
    parts.push({
      name: part,
      dtype,
      shape,
      ref: { ...ref, name: part, shape, start, end: ref.start + end * rowBytes },
    });
  }
  const lastAxis = `${name}:last axis`;
  const constants: Initializer[] = [
    { name: lastAxis, dtype: "int64", shape: [1], data: ndArray("int64", [1], BigInt64Array.of(-1n)) },
  ];
  const number = (value: number): string => {
    const constant = `${name}:${value}`;
    if (!constants.some((known) => known.name === constant)) {
      const data = ndArray("int32", [], Int32Array.of(value));
      constants.push({ name: constant, dtype: "int32", shape: [], data });
    }
    return constant;
  };
  const nodes = model.nodes.flatMap((node) =>
    !node.inputs.includes(name)
      ? [node]
      : node.op === "Gather"
        ? pick(node, parts, { number, lastAxis })
        : multiply(node, parts),
  );
  const external = model.initializers.findIndex((initializer) => initializer.name === name);
  const initializers = [...model.initializers, ...constants];
  initializers.splice(external, 1, ...parts);
  const at = weights.indexOf(table);
  return { model: { ...model, nodes, initializers }, weights: weights.toSpliced(at, 1, ...parts) };
}

const call = (op: string, inputs: readonly string[], output: string, attributes: Node["attributes"] = {}): Node => ({
  name: output,
  op,
  domain: "",
  inputs,
  outputs: [output],
  attributes,
});

/** x · partᵀ for every part, side by side. */
function multiply(node: Node, parts: readonly LoadedWeight[]): readonly Node[] {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const products = parts.map((part, i) => ({
    ...node,
    name: `${node.name}:${i}`,
    inputs: [x!, part.name],
    outputs: [`${y}:${i}`],
  }));
  const joined = products.map(({ outputs }) => outputs[0]!);
  return [...products, call("Concat", joined, y!, { axis: { int: 1 } })];
}

/** Rows picked from every part, each index outside of it standing for its first row, and of those the ones that are meant. */
function pick(
  node: Node,
  parts: readonly LoadedWeight[],
  { number, lastAxis }: { readonly number: (value: number) => string; readonly lastAxis: string },
): readonly Node[] {
  const [, indices] = node.inputs;
  const [y] = node.outputs;
  // 32 bits, which the GPU calculates with itself.
  const all = `${y}:indices`;
  const nodes = [call("Cast", [indices!], all, { to: { int: INT32 } })];
  let first = 0;
  let found = "";
  parts.forEach((part, i) => {
    const value = (what: string): string => `${y}:${what} ${i}`;
    const rows = part.shape[0]!;
    nodes.push(
      call("GreaterOrEqual", [all, number(first)], value("after")),
      call("Less", [all, number(first + rows)], value("before")),
      call("And", [value("after"), value("before")], value("inside")),
      call("Cast", [value("inside")], value("factor"), { to: { int: INT32 } }),
      call("Sub", [all, number(first)], value("local")),
      call("Mul", [value("local"), value("factor")], value("index")),
      { ...node, name: value("rows"), inputs: [part.name, value("index")], outputs: [value("rows")] },
    );
    const joined = i === parts.length - 1 ? y! : value("found");
    if (i > 0) {
      nodes.push(
        call("Unsqueeze", [value("inside"), lastAxis], value("mask")),
        call("Where", [value("mask"), value("rows"), found], joined),
      );
    }
    found = i > 0 ? joined : value("rows");
    first += rows;
  });
  return nodes;
}
