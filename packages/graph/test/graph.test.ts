import { isPaliGemmaError, ndArray, type ErrorCode } from "@paligemma/core";
import { CPU, add, buildGraph, scalar, type Graph, type GraphModel, type Value } from "@paligemma/graph";
import { describe, expect, test } from "vitest";

function build(define: (g: Graph) => Readonly<Record<string, Value>>): GraphModel {
  return buildGraph("test", CPU, define);
}

function codeOf(act: () => unknown): ErrorCode | undefined {
  try {
    act();
  } catch (error) {
    return isPaliGemmaError(error) ? error.code : undefined;
  }
  return undefined;
}

describe("buildGraph", () => {
  test("gives inputs, outputs, nodes and initializers as plain data", () => {
    const model = build((g) => ({ y: add(g.input("x", "float32", ["n", 2]), scalar(g, 1)) }));
    expect(model.inputs).toEqual([{ name: "x", dtype: "float32", shape: ["n", 2] }]);
    expect(model.outputs).toEqual([{ name: "y", dtype: "float32", shape: ["n", 2] }]);
    expect(model.nodes.map(({ op, inputs, outputs }) => ({ op, inputs, outputs }))).toEqual([
      { op: "Add", inputs: ["x", "constant_0"], outputs: ["y"] },
    ]);
    expect(model.initializers.map(({ name, shape }) => ({ name, shape }))).toEqual([{ name: "constant_0", shape: [] }]);
    expect(structuredClone({ ...model, target: undefined })).toEqual({ ...model, target: undefined });
  });

  test("one value may leave under two names, and an input may be an output", () => {
    const model = build((g) => {
      const x = g.input("x", "float32", [1]);
      return { a: x, b: x };
    });
    expect(model.outputs.map(({ name }) => name)).toEqual(["a", "b"]);
    const made = build((g) => {
      const x = g.input("x", "float32", [1]);
      const [sum, twice] = [add(x, x), add(x, add(x, x))];
      return { a: sum, b: sum, c: twice, d: add(sum, twice) };
    });
    // Whoever reads what is handed out reads it by its new name.
    expect(made.nodes.map(({ op, inputs, outputs }) => [op, ...inputs, ...outputs].join(" "))).toEqual([
      "Add x x a",
      "Add x x Add_1",
      "Add x Add_1 c",
      "Add a c d",
      "Identity a b",
    ]);
  });

  test("equal small constants are kept once; other type, shape, sign of zero or graph is another constant", () => {
    const model = build((g) => {
      const one = scalar(g, 1);
      expect(scalar(g, 1)).toBe(one);
      const others = [
        scalar(g, 2),
        scalar(g, 1, "float16"),
        g.constant(ndArray("float32", [1], Float32Array.of(1))),
        scalar(g, 0),
        scalar(g, -0),
        g.constant(ndArray("int32", [], Int32Array.of(0))),
      ];
      expect(new Set([one, ...others]).size).toBe(7);
      return { y: one };
    });
    expect(model.initializers).toHaveLength(7);
  });

  test("big constants are not compared", () => {
    const model = build((g) => {
      const big = ndArray("float32", [65], new Float32Array(65));
      return { y: add(g.constant(big), g.constant(big)) };
    });
    expect(model.initializers).toHaveLength(2);
  });

  test("an external tensor asked for twice is the same value, but not as another shape or format", () => {
    build((g) => {
      const w = g.external("w", "float32", [2, 3]);
      expect(g.external("w", "float32", [2, 3])).toBe(w);
      expect(codeOf(() => g.external("w", "float32", [3, 2]))).toBe("graph/name");
      expect(codeOf(() => g.external("w", "bfloat16", [2, 3]))).toBe("graph/name");
      const x = g.input("x", "float32", [2, 3]);
      expect(codeOf(() => g.external("x", "float32", [2, 3]))).toBe("graph/name");
      return { y: add(w, x) };
    });
  });

  test("sizes come from the first value that has them, once", () => {
    const model = build((g) => {
      const x = g.input("x", "float32", [3, "n"]);
      const n = g.size("n");
      expect(g.size("n")).toBe(n);
      expect([n.dtype, n.shape]).toEqual(["int64", [1]]);
      expect(codeOf(() => g.size("m"))).toBe("graph/size");
      return { x2: add(x, x), n };
    });
    const [shape] = model.nodes.filter(({ op }) => op === "Shape");
    expect(shape).toMatchObject({ inputs: ["x"], attributes: { start: { int: 1 }, end: { int: 2 } } });
  });

  test("operators with several outputs name them apart", () => {
    const model = build((g) => {
      const x = g.input("x", "float32", [4]);
      const half = { dtype: "float32", shape: [2] } as const;
      const [a, b] = g.node({ op: "Split", inputs: [x], attributes: { axis: { int: 0 } }, outputs: [half, half] });
      return { a: a!, b: add(b!, b!) };
    });
    expect(model.nodes[0]!.outputs).toEqual(["a", "Split_0:1"]);
  });

  test("names are unique, graphs do not mix, and something must come out", () => {
    const twice = (): GraphModel =>
      build((g) => ({ y: add(g.input("x", "float32", [1]), g.input("x", "float32", [1])) }));
    expect(codeOf(twice)).toBe("graph/name");
    expect(codeOf(() => build((g) => ({ x: g.input("x", "float32", [1]) })))).toBe("graph/name");
    expect(codeOf(() => build(() => ({})))).toBe("graph/outputs");
    let foreign: Value | undefined;
    build((g) => ({ y: (foreign = g.input("x", "float32", [1])) }));
    expect(codeOf(() => build((g) => ({ y: add(g.input("x", "float32", [1]), foreign!) })))).toBe("graph/mixed");
    expect(codeOf(() => build(() => ({ y: foreign! })))).toBe("graph/mixed");
  });
});
