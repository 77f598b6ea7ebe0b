import {
  WEBGPU,
  accumulate,
  add,
  buildGraph,
  declaredWeights,
  layerNorm,
  rmsNorm,
  type GraphModel,
} from "@paligemma/graph";
import { expect, test } from "vitest";
import { addWithinNorms } from "../src/gpu/skip-norms.ts";

const ops = ({ nodes }: GraphModel): string[] => nodes.map(({ op }) => op);

/** Every value is made before it is read. */
function expectOrder({ nodes, inputs, initializers }: GraphModel): void {
  const made = new Set([...inputs, ...initializers].map(({ name }) => name));
  for (const node of nodes) {
    expect(node.inputs.filter((name) => name !== "" && !made.has(name))).toEqual([]);
    for (const output of node.outputs) made.add(output);
  }
}

test("sums over layers are computed by the norms that read them, and go on from there", () => {
  const model = buildGraph("layers", WEBGPU, (g) => {
    const w = declaredWeights(g);
    let x = g.input("x", "float32", ["b", "t", 8]);
    x = accumulate(x, rmsNorm(x, w.at("a"), 1e-6));
    x = accumulate(x, layerNorm(x, w.at("b"), 1e-6));
    return { sum: x };
  });
  const fused = addWithinNorms(model);
  // The weight of Gemma's norm is one more than what is stored; the last sum has no norm behind it.
  expect(ops(fused)).toEqual(["Add", "SimplifiedLayerNormalization", "SkipLayerNormalization", "Add"]);
  expectOrder(fused);
  const norm = fused.nodes.find(({ op }) => op === "SkipLayerNormalization")!;
  const [first, last] = model.nodes.filter(({ name }) => name.startsWith("Accumulation"));
  expect(norm.inputs.slice(0, 2)).toEqual(first!.inputs);
  expect(norm.outputs).toEqual([expect.any(String), "", "", first!.outputs[0]]);
  expect(last!.inputs).toEqual([norm.outputs[3], norm.outputs[0]]);
});

test("other sums are left alone: they may stretch", () => {
  const model = buildGraph("stretched", WEBGPU, (g) => {
    const sum = add(g.input("x", "float32", ["b", "t", 8]), g.input("y", "float32", [8]));
    return { normed: rmsNorm(sum, declaredWeights(g), 1e-6) };
  });
  expect(addWithinNorms(model)).toEqual(model);
});

test("a sum that two norms read is computed once", () => {
  const model = buildGraph("twice", WEBGPU, (g) => {
    const w = declaredWeights(g);
    const x = g.input("x", "float32", ["b", 8]);
    const sum = accumulate(x, x);
    return { y: rmsNorm(sum, w.at("a"), 1e-6), z: rmsNorm(sum, w.at("b"), 1e-6) };
  });
  const fused = addWithinNorms(model);
  expect(ops(fused).toSorted()).toEqual([
    "Add",
    "Add",
    "SimplifiedLayerNormalization",
    "SkipSimplifiedLayerNormalization",
  ]);
  expectOrder(fused);
});
