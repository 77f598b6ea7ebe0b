import { ndArray, type DType } from "@paligemma/core";
import {
  CPU,
  buildGraph,
  checkpointWeights,
  declaredWeights,
  linear,
  scalar,
  type Graph,
  type GraphModel,
} from "@paligemma/graph";
import type { Checkpoint, TensorRef } from "@paligemma/weights";
import { describe, expect, test } from "vitest";

function checkpoint(tensors: Readonly<Record<string, readonly [DType, readonly number[]]>>): Checkpoint {
  const source = { name: "nowhere", size: 0, read: () => Promise.reject(new Error("read")) };
  const refs = Object.entries(tensors).map(([name, [dtype, shape]]): [string, TensorRef] => [
    name,
    { name, dtype, shape, source, start: 0, end: 0 },
  ]);
  return {
    tensors: new Map(refs),
    metadata: {},
    read: (name) => Promise.resolve(ndArray("float32", [name.length], new Float32Array(name.length))),
  };
}

const CHECKPOINT = checkpoint({
  "model.layers.0.mlp.weight": ["bfloat16", [4, 8]],
  "model.layers.0.mlp.bias": ["float32", [4]],
  "model.norm.weight": ["float32", [8]],
});

function build(f: (g: Graph) => unknown): GraphModel {
  return buildGraph("test", CPU, (g) => {
    f(g);
    return { y: scalar(g, 0) };
  });
}

describe("weights of a checkpoint", () => {
  test("are found by the names in the file, at any depth", () => {
    build((g) => {
      const w = checkpointWeights(g, CHECKPOINT);
      expect(w.path).toBe("");
      const layer = w.at("model", "layers", 0);
      expect(layer.path).toBe("model.layers.0");
      expect(layer.at("mlp").tensor("bias", [4]).name).toBe("model.layers.0.mlp.bias");
      expect(w.tensor("model.norm.weight", [8]).shape).toEqual([8]);
      expect([w.has("model.norm.weight"), w.at("model").has("norm.weight"), w.has("norm.weight")]).toEqual([
        true,
        true,
        false,
      ]);
    });
  });

  test("are cast once to what the target computes in, however often and from wherever they are asked for", () => {
    const model = build((g) => {
      const w = checkpointWeights(g, CHECKPOINT);
      const a = w.at("model.layers.0").tensor("mlp.weight", [4, 8]);
      expect(a.dtype).toBe("float32");
      expect(w.at("model", "layers", 0, "mlp").tensor("weight", [4, 8])).toBe(a);
      expect(w.stored("model.layers.0.mlp.weight", [4, 8]).dtype).toBe("bfloat16");
    });
    expect(model.nodes.filter(({ op }) => op === "Cast")).toHaveLength(1);
    expect(model.initializers.filter(({ ref }) => ref)).toHaveLength(1);
  });

  test("a missing name is an error with the nearest one", () => {
    expect(() => build((g) => checkpointWeights(g, CHECKPOINT).tensor("model.norm.weigth", [8]))).toThrow(
      "weights/missing: the checkpoint has no model.norm.weigth; the nearest name is model.norm.weight",
    );
  });

  test("another shape is an error with both, also the second time", () => {
    build((g) => {
      const w = checkpointWeights(g, CHECKPOINT).at("model.norm");
      const message = "weights/shape: model.norm.weight is [8], the config asks for [9]";
      expect(() => w.tensor("weight", [9])).toThrow(message);
      w.tensor("weight", [8]);
      expect(() => w.tensor("weight", [9])).toThrow(message);
    });
  });
});

describe("declared weights", () => {
  test("list what a checkpoint must have", () => {
    const model = build((g) =>
      linear(g.input("x", "float32", ["n", 8]), declaredWeights(g, "bfloat16").at("fc"), 4, { bias: true }),
    );
    const listed = model.initializers
      .filter(({ data }) => !data)
      .map(({ name, dtype, shape }) => ({ name, dtype, shape }));
    expect(listed).toEqual([
      { name: "fc.weight", dtype: "bfloat16", shape: [4, 8] },
      { name: "fc.bias", dtype: "bfloat16", shape: [4] },
    ]);
  });

  test("one name with two shapes is an error", () => {
    build((g) => {
      const w = declaredWeights(g);
      w.tensor("weight", [4, 8]);
      expect(() => w.tensor("weight", [8, 4])).toThrow("graph/name");
    });
  });
});
