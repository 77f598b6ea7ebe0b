import type { GraphModel, Node } from "@paligemma/graph";

/** A graph that is told the sizes of its named dimensions, instead of asking its inputs for them. */
export interface SizedModel {
  readonly model: GraphModel;
  /** Dimensions that the graph is told, by the name of the input (int64 [1]) for each. */
  readonly sizes: ReadonlyMap<string, string>;
}

/**
 * The graph with every `Shape` of one named dimension of an input replaced by an input of its own, and without inputs that
 * nothing reads. The runtime takes shapes on the processor, and brings the whole tensor there for it; unread inputs it
 * brings there as well.
 */
export function tellSizes(model: GraphModel): SizedModel {
  const sizes = new Map<string, string>();
  const replaced = new Map<string, string>();
  const nodes: Node[] = [];
  for (const node of model.nodes) {
    const dimension = askedDimension(model, node);
    if (dimension === undefined) {
      nodes.push(node);
      continue;
    }
    const input = `size of ${dimension}`;
    sizes.set(dimension, input);
    replaced.set(node.outputs[0]!, input);
  }
  const renamed = nodes.map((node) => ({ ...node, inputs: node.inputs.map((name) => replaced.get(name) ?? name) }));
  const read = new Set(renamed.flatMap(({ inputs }) => inputs));
  const told = [...sizes.values()].map((name) => ({ name, dtype: "int64", shape: [1] }) as const);
  const inputs = [...model.inputs, ...told].filter(({ name }) => read.has(name));
  return { model: { ...model, nodes: renamed, inputs }, sizes };
}

/** The name of the dimension that a node asks an input of the graph for. */
function askedDimension(model: GraphModel, { op, inputs, attributes }: Node): string | undefined {
  const { start, end } = attributes;
  if (op !== "Shape" || !start || !end || !("int" in start) || !("int" in end) || end.int !== start.int + 1)
    return undefined;
  const dimension = model.inputs.find(({ name }) => name === inputs[0])?.shape[start.int];
  return typeof dimension === "string" ? dimension : undefined;
}
