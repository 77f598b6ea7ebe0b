import { PaliGemmaError, type DType, type NdArray } from "@paligemma/core";
import type { TensorRef } from "@paligemma/weights";
import type { Target } from "./target.ts";
import { formatShape, sameShape, type Dim, type Shape, type Value, type ValueType } from "./value.ts";

/** An attribute of a node, tagged with its ONNX type. */
export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly string: string }
  | { readonly ints: readonly number[] }
  /** Of a kind that graphs built here do not have: an AttributeProto as it stood in a file. */
  | { readonly encoded: Uint8Array };

/** One operator call as it stands in the graph. */
export interface Node {
  readonly op: string;
  /** "" is ai.onnx. */
  readonly domain: "" | "com.microsoft";
  readonly name: string;
  /** Names of values; "" for an input left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A tensor that is there before the graph runs: data, or a byte range of a checkpoint, or only declared. */
export interface Initializer extends ValueType {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data?: NdArray;
  readonly ref?: TensorRef;
}

/** Name, format and shape of what goes in or comes out. */
export interface Port extends ValueType {
  readonly name: string;
}

/** A finished graph: plain data. */
export interface GraphModel {
  readonly name: string;
  readonly target: Target;
  /** Version of ai.onnx that the operators are of. Default: the one that graphs built here use. */
  readonly opset?: number;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly nodes: readonly Node[];
  readonly initializers: readonly Initializer[];
  /**
   * Types of what nodes make, for runtimes: what has the same dimensions by name has the same size, and can have the same memory.
   * Default: none is told, and runtimes know what they can work out.
   */
  readonly values?: readonly Port[];
}

/** One operator to be added. */
export interface NodeCall {
  readonly op: string;
  /** What the node and its values are called after, instead of the operator. */
  readonly called?: string;
  readonly domain?: "" | "com.microsoft";
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Types of the outputs, from the operator's shape rule. */
  readonly outputs: readonly ValueType[];
}

/** A graph being built. Operators are free functions over values; these are what they are made of. */
export interface Graph {
  readonly name: string;
  readonly target: Target;
  /** True for a dimension that is at most `FEW_ROWS` in every run: such a number, or names that `buildGraph` was told. */
  isFew(dimension: Dim): boolean;
  /** True for a dimension that is more than one in every run: such a number, a multiple of one, or names that `buildGraph` was told. */
  isMany(dimension: Dim): boolean;
  input(name: string, dtype: DType, shape: Shape): Value;
  /** Data that becomes part of the graph; equal small constants are kept once. */
  constant(array: NdArray): Value;
  /** A tensor whose bytes stay where they are (`ref`), or whose place is not known yet. Asked twice by one name, it is the same value. */
  external(name: string, dtype: DType, shape: readonly number[], ref?: TensorRef): Value;
  node(call: NodeCall): readonly Value[];
  /** The size called `name` as an int64 [1] value, taken from the first value that has it. */
  size(name: string): Value;
}

/** Rows up to which a loop for each number is faster than a product that is made for many. */
export const FEW_ROWS = 4;

/** What is known of a graph before it is built. */
export interface GraphOptions {
  /**
   * Names of dimensions that are at most `FEW_ROWS` whenever it runs, such as the tokens of a step; larger ones give the same numbers,
   * more slowly. Default: none.
   */
  readonly few?: readonly string[];
  /** Names of dimensions that are more than one whenever it runs; of one it gives the same numbers, more slowly. Default: none. */
  readonly many?: readonly string[];
}

/** Largest constant that is compared with others to be kept once; bigger ones are rare and slow to compare. */
const SHARED_CONSTANT_BYTES = 256;

function bytesOf({ data }: NdArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * Runs `define` and returns the graph whose outputs are what it returned, under those names. Throws `graph/…` errors from
 * the operators' shape rules, naming the operator and both shapes.
 */
export function buildGraph(
  name: string,
  target: Target,
  define: (g: Graph) => Readonly<Record<string, Value>>,
  { few = [], many = [] }: GraphOptions = {},
): GraphModel {
  const inputs: Port[] = [];
  const nodes: Node[] = [];
  const initializers = new Map<string, Initializer>();
  const values = new Map<string, Value>();
  const constants = new Map<string, Value>();
  const sized = new Map<string, { readonly value: Value; readonly axis: number }>();
  const sizes = new Map<string, Value>();
  const count = new Map<string, number>();

  function fresh(base: string): string {
    const n = count.get(base) ?? 0;
    count.set(base, n + 1);
    return `${base}_${n}`;
  }

  function value(valueName: string, type: ValueType): Value {
    if (values.has(valueName))
      throw new PaliGemmaError("graph/name", `there are two values called ${valueName} in the graph ${name}`);
    const made: Value = { graph, name: valueName, dtype: type.dtype, shape: type.shape };
    values.set(valueName, made);
    type.shape.forEach((dimension: Dim, axis) => {
      if (typeof dimension === "string" && !sized.has(dimension)) sized.set(dimension, { value: made, axis });
    });
    return made;
  }

  const graph: Graph = {
    name,
    target,
    // Axes that were folded are called a*b.
    isFew: (dimension) =>
      String(dimension)
        .split("*")
        .every((part) => few.includes(part) || Number(part) <= FEW_ROWS),
    isMany: (dimension) =>
      many.includes(String(dimension)) ||
      String(dimension)
        .split("*")
        .some((part) => Number(part) > 1),
    input(inputName, dtype, shape) {
      inputs.push({ name: inputName, dtype, shape });
      return value(inputName, { dtype, shape });
    },
    constant(array) {
      const small = array.data.byteLength <= SHARED_CONSTANT_BYTES;
      const key = small ? `${array.dtype}${formatShape(array.shape)}${bytesOf(array).join()}` : "";
      const known = small ? constants.get(key) : undefined;
      if (known) return known;
      const made = value(fresh("constant"), array);
      initializers.set(made.name, { name: made.name, dtype: array.dtype, shape: array.shape, data: array });
      if (small) constants.set(key, made);
      return made;
    },
    external(tensorName, dtype, shape, ref) {
      const known = values.get(tensorName);
      if (known && initializers.has(tensorName) && known.dtype === dtype && sameShape(known.shape, shape)) return known;
      initializers.set(tensorName, { name: tensorName, dtype, shape, ...(ref && { ref }) });
      return value(tensorName, { dtype, shape });
    },
    node({ op, called = op, domain = "", inputs: operands, attributes = {}, outputs }) {
      for (const operand of operands) {
        if (operand && operand.graph !== graph) {
          throw new PaliGemmaError(
            "graph/mixed",
            `${op}: ${operand.name} belongs to the graph ${operand.graph.name}, this is ${name}. Values of two graphs cannot meet.`,
          );
        }
      }
      const base = fresh(called);
      const made = outputs.map((type, i) => value(outputs.length === 1 ? base : `${base}:${i}`, type));
      nodes.push({
        op,
        domain,
        name: `${base}.node`,
        inputs: operands.map((operand) => operand?.name ?? ""),
        outputs: made.map((v) => v.name),
        attributes,
      });
      return made;
    },
    size(dimension) {
      const known = sizes.get(dimension);
      if (known) return known;
      const source = sized.get(dimension);
      if (!source)
        throw new PaliGemmaError("graph/size", `no value of the graph ${name} has a dimension called ${dimension}`);
      const [size] = graph.node({
        op: "Shape",
        inputs: [source.value],
        attributes: { start: { int: source.axis }, end: { int: source.axis + 1 } },
        outputs: [{ dtype: "int64", shape: [1] }],
      });
      sizes.set(dimension, size!);
      return size!;
    },
  };

  const results = Object.entries(define(graph));
  if (results.length === 0) throw new PaliGemmaError("graph/outputs", `the graph ${name} returns nothing`);
  /** What nodes made and is handed out once takes the output's name; all else is given another. */
  const renamed = new Map<string, string>();
  const made = new Set(nodes.flatMap((node) => node.outputs));
  const outputs: Port[] = results.map(([outputName, result]) => {
    if (result.graph !== graph)
      throw new PaliGemmaError(
        "graph/mixed",
        `output ${outputName} of ${name} belongs to the graph ${result.graph.name}`,
      );
    value(outputName, result);
    if (made.has(result.name) && !renamed.has(result.name)) renamed.set(result.name, outputName);
    else
      nodes.push({
        op: "Identity",
        domain: "",
        name: `${outputName}.node`,
        inputs: [result.name],
        outputs: [outputName],
        attributes: {},
      });
    return { name: outputName, dtype: result.dtype, shape: result.shape };
  });
  const called = (valueName: string): string => renamed.get(valueName) ?? valueName;
  const finished = nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map(called),
    outputs: node.outputs.map(called),
  }));
  return {
    name,
    target,
    inputs,
    outputs,
    nodes: finished,
    initializers: [...initializers.values()],
    values: finished.flatMap((node) =>
      node.outputs.map((output) => {
        const { dtype, shape } = values.get(output)!;
        return { name: output, dtype, shape };
      }),
    ),
  };
}
