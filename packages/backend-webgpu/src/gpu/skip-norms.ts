import { isAccumulation, type GraphModel, type Node } from "@paligemma/graph";

/** What a norm becomes when it adds as well. */
const WITH_SUM: Readonly<Record<string, string>> = {
  SimplifiedLayerNormalization: "SkipSimplifiedLayerNormalization",
  LayerNormalization: "SkipLayerNormalization",
};

/**
 * The graph with every sum that a norm reads computed by that norm, which hands out both: one pass over the numbers instead of
 * two. A sum that two norms read is taken by the first.
 */
export function addWithinNorms(model: GraphModel): GraphModel {
  const makers = new Map(model.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const taken = new Map<Node, Node>();
  const changed = new Map<Node, Node>();
  for (const norm of model.nodes) {
    const op = WITH_SUM[norm.op];
    const sum = makers.get(norm.inputs[0]!);
    if (!op || !sum || !isAccumulation(sum) || taken.has(sum)) continue;
    const { epsilon } = norm.attributes;
    taken.set(sum, norm);
    changed.set(norm, {
      ...norm,
      op,
      domain: "com.microsoft",
      inputs: [...sum.inputs, ...norm.inputs.slice(1)],
      outputs: [norm.outputs[0]!, "", "", sum.outputs[0]!],
      attributes: epsilon ? { epsilon } : {},
    });
  }
  return { ...model, nodes: inOrder(model.nodes, taken, changed) };
}

/** The norm comes where the sum was: whatever reads either stands behind. What else the norm reads is made of weights. */
function inOrder(nodes: readonly Node[], taken: ReadonlyMap<Node, Node>, changed: ReadonlyMap<Node, Node>): Node[] {
  const placed = new Set<Node>();
  const made = new Map(nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const result: Node[] = [];
  const place = (node: Node): void => {
    if (placed.has(node)) return;
    placed.add(node);
    const norm = taken.get(node);
    if (norm) return place(norm);
    const becomes = changed.get(node) ?? node;
    for (const input of becomes.inputs) {
      const maker = made.get(input);
      if (maker) place(maker);
    }
    result.push(becomes);
  };
  for (const node of nodes) place(node);
  return result;
}
