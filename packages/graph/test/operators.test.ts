import { isPaliGemmaError, ndArray, type DType } from "@paligemma/core";
import {
  CPU,
  WEBGPU,
  add,
  argMax,
  attention,
  buildGraph,
  cast,
  concat,
  convolution,
  declaredWeights,
  gather,
  geluTanh,
  layerNorm,
  linear,
  matMul,
  multiplyTransposed,
  patches,
  reshape,
  rmsNorm,
  rotaryTables,
  rotate,
  scalar,
  softmax,
  transpose,
  transposedConvolution,
  where,
  type Graph,
  type GraphOptions,
  type Shape,
  type Target,
  type Value,
} from "@paligemma/graph";
import { describe, expect, test } from "vitest";

/** Runs `f` inside a graph and gives what it gave. */
function inGraph<T>(
  f: (g: Graph, x: (shape: Shape, dtype?: DType) => Value) => T,
  target: Target = CPU,
  options: GraphOptions = {},
): T {
  let result: T | undefined;
  let count = 0;
  const define = (g: Graph): Readonly<Record<string, Value>> => {
    result = f(g, (shape, dtype = "float32") => g.input(`x${count++}`, dtype, shape));
    return { y: scalar(g, 0) };
  };
  buildGraph("test", target, define, options);
  return result!;
}

type Rule = readonly [name: string, expected: Shape, f: (x: (shape: Shape, dtype?: DType) => Value, g: Graph) => Value];

const RULES: readonly Rule[] = [
  ["add stretches 1", ["n", 3, 4], (x) => add(x(["n", 1, 4]), x([3, 1]))],
  ["add of a scalar", ["n", 4], (x, g) => add(x(["n", 4]), scalar(g, 2))],
  ["add from the right", ["n", 4], (x) => add(x([4]), x(["n", 4]))],
  ["geluTanh", ["n", 4], (x) => geluTanh(x(["n", 4]))],
  ["softmax", ["n", 4], (x) => softmax(x(["n", 4]))],
  ["cast", ["n"], (x) => cast(x(["n"]), "int64")],
  ["where", ["n", 2, 3], (x) => where(x(["n", 2, 1], "bool"), x(["n", 2, 3]), x(["n", 2, 3]))],
  ["concat of numbers", [1, 5], (x) => concat([x([1, 2]), x([1, 3])], 1)],
  ["concat of names", ["past+tokens", 3], (x) => concat([x(["past", 3]), x(["tokens", 3])], 0)],
  ["concat with a name for the sum", ["total", 3], (x) => concat([x(["past", 3]), x(["tokens", 3])], 0, "total")],
  ["gather of rows", ["batch", "tokens", 8], (x) => gather(x([100, 8]), x(["batch", "tokens"], "int64"))],
  ["gather along the last axis", ["n", 3], (x) => gather(x(["n", 8]), x([3], "int64"), 1)],
  ["transpose", [3, "n", 2], (x) => transpose(x(["n", 2, 3]), [2, 0, 1])],
  ["argMax", ["n", 1], (x) => argMax(x(["n", 7]))],
  ["reshape folding", ["n*6", 4], (x) => reshape(x(["n", 6, 4]), ["n*6", 4])],
  [
    "reshape unfolding",
    ["batch", "tokens", 2, 4],
    (x) => reshape(x(["batch", "tokens", 8]), ["batch", "tokens", 2, 4]),
  ],
  ["matMul", ["n", 2, "q", "k"], (x) => matMul(x(["n", 2, "q", 8]), x(["n", 2, 8, "k"]))],
  ["matMul with a matrix", ["n", "q", 5], (x) => matMul(x(["n", "q", 8]), x([8, 5]))],
  ["multiplyTransposed", ["n", "m", 5], (x) => multiplyTransposed(x(["n", "m", 8]), x([5, 8]))],
  [
    "linear",
    ["batch", "tokens", 5],
    (x, g) => linear(x(["batch", "tokens", 8]), declaredWeights(g), 5, { bias: true }),
  ],
  ["patches", ["n", 6, 16], (x, g) => patches(x(["n", 3, 28, 42]), declaredWeights(g), 16, 14)],
  [
    "convolution",
    ["n", 16, 14, 21],
    (x, g) => convolution(x(["n", 3, 28, 42]), declaredWeights(g), 16, { kernel: 4, stride: 2, padding: 1 }),
  ],
  [
    "transposedConvolution",
    ["n", 16, 56, 84],
    (x, g) => transposedConvolution(x(["n", 3, 28, 42]), declaredWeights(g), 16, { kernel: 4, stride: 2, padding: 1 }),
  ],
  ["layerNorm", ["n", 8], (x, g) => layerNorm(x(["n", 8]), declaredWeights(g), 1e-6)],
  ["rmsNorm", ["n", 8], (x, g) => rmsNorm(x(["n", 8]), declaredWeights(g), 1e-6)],
  [
    "rotate",
    ["b", "t", 32],
    (x, g) =>
      rotate(x(["b", "t", 32]), x(["b", "t"], "int64"), rotaryTables(g, { positions: 9, headDim: 16, theta: 1e4 }), 2),
  ],
  [
    "attention",
    ["b", "t", 32],
    (x) =>
      attention(x(["b", "t", 32]), x(["b", "k", 16]), x(["b", "k", 16]), {
        heads: 2,
        keyValueHeads: 1,
        headDim: 16,
        scale: 1,
      }),
  ],
];

const FAULTS: readonly (readonly [
  name: string,
  text: string,
  f: (x: (shape: Shape, dtype?: DType) => Value, g: Graph) => unknown,
])[] = [
  ["add of unequal sizes", "graph/shape: Add: [2] and [3] do not fit: 2 against 3", (x) => add(x([2]), x([3]))],
  ["add of a name and a number", "n against 3", (x) => add(x(["n"]), x([3]))],
  ["add of two formats", "cast one of them", (x) => add(x([2]), x([2], "float16"))],
  ["concat of unequal rest", "graph/shape: concat along 1", (x) => concat([x([2, 2]), x([3, 2])], 1)],
  ["concat of two formats", "graph/shape: concat", (x) => concat([x([2]), x([2], "int64")], 0)],
  ["reshape to another count", "[n, 6] has other elements than [n, 5]", (x) => reshape(x(["n", 6]), ["n", 5])],
  ["reshape of numbers to another count", "graph/shape: reshape", (x) => reshape(x([2, 3]), [7])],
  ["reshape to two names that nothing has", "graph/size", (x) => reshape(x(["n", 6]), ["a", "b"])],
  ["transpose with a missing axis", "graph/axes", (x) => transpose(x([1, 2]), [0])],
  ["transpose with an axis twice", "graph/axes", (x) => transpose(x([1, 2]), [1, 1])],
  ["matMul of unequal inner sizes", "8 against 7", (x) => matMul(x([2, 8]), x([7, 2]))],
  ["linear with another width", "8 against 7", (x) => multiplyTransposed(x(["n", 8]), x([5, 7]))],
  ["linear over a name", "must be a number", (x, g) => linear(x([1, "n"]), declaredWeights(g), 5)],
  [
    "patches of pictures of unknown size",
    "known sizes",
    (x, g) => patches(x(["n", 3, "h", 4]), declaredWeights(g), 5, 2),
  ],
  [
    "patches that leave a rest",
    "graph/shape: patches",
    (x, g) => patches(x(["n", 3, 30, 28]), declaredWeights(g), 5, 14),
  ],
  [
    "convolution by a kernel larger than the picture",
    "leaves nothing",
    (x, g) => convolution(x(["n", 3, 4, 4]), declaredWeights(g), 5, { kernel: 5 }),
  ],
  [
    "transposedConvolution of rows",
    "known sizes",
    (x, g) => transposedConvolution(x(["n", 3, 4]), declaredWeights(g), 5, { kernel: 2 }),
  ],
  ["layerNorm over a name", "must be a number", (x, g) => layerNorm(x(["n"]), declaredWeights(g), 1)],
  [
    "attention with other heads",
    "3 heads over 1 of 16",
    (x) =>
      attention(x([1, 2, 32]), x([1, 2, 16]), x([1, 2, 16]), { heads: 3, keyValueHeads: 1, headDim: 16, scale: 1 }),
  ],
  [
    "attention with heads that do not group",
    "3 heads over 2",
    (x) =>
      attention(x([1, 2, 48]), x([1, 2, 32]), x([1, 2, 32]), { heads: 3, keyValueHeads: 2, headDim: 16, scale: 1 }),
  ],
];

describe("shape rules", () => {
  for (const [name, expected, f] of RULES) {
    test(`${name} gives [${expected.join(", ")}]`, () => {
      expect(inGraph((g, x) => f(x, g)).shape).toEqual(expected);
      // The same, whatever operators the device has.
      expect(inGraph((g, x) => f(x, g), { ...WEBGPU, fused: new Set() }).shape).toEqual(expected);
      expect(inGraph((g, x) => f(x, g), WEBGPU, { few: ["n", "m", "b", "t", "batch", "tokens"] }).shape).toEqual(
        expected,
      );
    });
  }
});

describe("what does not fit is an error that names both sides", () => {
  for (const [name, text, f] of FAULTS) {
    test(`${name} is refused`, () => {
      expect(() => inGraph((g, x) => f(x, g))).toThrow(text);
    });
  }
  test("the errors are typed", () => {
    let failure: unknown;
    try {
      inGraph((_, x) => add(x([2]), x([3])));
    } catch (error) {
      failure = error;
    }
    expect(isPaliGemmaError(failure, "graph/shape")).toBe(true);
  });
});

describe("what is emitted", () => {
  const ops = (
    f: (g: Graph, x: (shape: Shape, dtype?: DType) => Value) => unknown,
    target: Target = CPU,
    options: GraphOptions = {},
  ): readonly string[] => {
    let count = 0;
    const define = (g: Graph): Readonly<Record<string, Value>> => {
      f(g, (shape, dtype = "float32") => g.input(`x${count++}`, dtype, shape));
      return { y: scalar(g, 0) };
    };
    const model = buildGraph("test", target, define, options);
    return model.nodes.map(({ op }) => op).slice(0, -1);
  };
  const plain: Target = { ...CPU, fused: new Set() };
  const sizes = { heads: 4, keyValueHeads: 4, headDim: 8, scale: 1 };

  test("casts to the same format vanish", () => {
    expect(ops((_, x) => cast(x([1]), "float32"))).toEqual([]);
    expect(ops((_, x) => cast(x([1]), "float16"))).toEqual(["Cast"]);
  });

  test("products of matrices need no reshape, others fold their leading axes", () => {
    expect(ops((_, x) => multiplyTransposed(x(["n", 8]), x([5, 8])))).toEqual(["Gemm"]);
    expect(ops((_, x) => multiplyTransposed(x(["n", "m", 8]), x([5, 8])))).toEqual([
      "Reshape",
      "Gemm",
      "Shape",
      "Shape",
      "Concat",
      "Reshape",
    ]);
  });

  test("few rows are looped over where the device's product is for many", () => {
    const product = (_: Graph, x: (shape: Shape) => Value): Value => multiplyTransposed(x(["n", 8]), x([5, 8]));
    expect(ops(product, WEBGPU)).toEqual(["Gemm"]);
    expect(ops(product, WEBGPU, { few: ["n"] })).toEqual(["Einsum"]);
    expect(ops(product, WEBGPU, { few: ["m"] })).toEqual(["Gemm"]);
    expect(ops(product, CPU, { few: ["n"] })).toEqual(["Gemm"]);
    const folded = (_: Graph, x: (shape: Shape) => Value): Value => multiplyTransposed(x([2, "n", 8]), x([5, 8]));
    expect(ops(folded, WEBGPU, { few: ["n"] })).toContain("Einsum");
    expect(ops(folded, WEBGPU)).toContain("Gemm");
    const half = (_: Graph, x: (shape: Shape, dtype: DType) => Value): Value =>
      multiplyTransposed(x(["n", 8], "float16"), x([5, 8], "float16"));
    expect(ops(half, WEBGPU, { few: ["n"] })).toEqual(["Gemm"]);
  });

  test("where programs are to be few, biases and patches take the product that is there", () => {
    expect(
      ops((_, x) => multiplyTransposed(x(["n", 8]), x([5, 8]), x([5])), WEBGPU).filter((op) => op !== "Reshape"),
    ).toEqual(["Gemm", "Add"]);
    expect(ops((g, x) => patches(x([1, 3, 28, 28]), declaredWeights(g), 16, 14), WEBGPU)).not.toContain("Conv");
    expect(ops((g, x) => patches(x([1, 3, 28, 28]), declaredWeights(g), 16, 14))).toContain("Conv");
  });

  test("attention over few positions is looped over, over many it is products", () => {
    const over = (positions: number | undefined, options: GraphOptions = {}): readonly string[] =>
      ops(
        (_, x) =>
          attention(x(["t", "b", 32]), x(["s", "b", 32]), x(["s", "b", 32]), {
            ...sizes,
            positionFirst: true,
            ...(positions !== undefined && { positions }),
          }),
        WEBGPU,
        options,
      ).filter((op) => op === "Einsum" || op === "MatMul");
    expect(over(512)).toEqual(["Einsum", "Einsum"]);
    expect(over(8192)).toEqual(["MatMul", "MatMul"]);
    expect(over(undefined)).toEqual(["MatMul", "MatMul"]);
    expect(over(8192, { few: ["t", "b"] })).toEqual(["Einsum", "Einsum"]);
    expect(over(8192, { few: ["t"] })).toEqual(["MatMul", "MatMul"]);
  });

  test("attention takes the best operator that the target has", () => {
    const full =
      (options: object, heads = 4) =>
      (_: Graph, x: (shape: Shape) => Value): Value =>
        attention(x([1, 5, 32]), x([1, 5, heads * 8]), x([1, 5, heads * 8]), {
          ...sizes,
          keyValueHeads: heads,
          ...options,
        });
    expect(ops(full({}))).toEqual(["MultiHeadAttention"]);
    const biased =
      (heads = 4) =>
      (g: Graph, x: (shape: Shape) => Value) =>
        full({ biases: [x([32]), x([heads * 8]), x([heads * 8])] }, heads)(g, x);
    expect(ops(biased())).toEqual(["Concat", "MultiHeadAttention"]);
    expect(ops(biased(2))).toEqual(["Add", "Add", "Add", "Attention"]);
    expect(ops(biased(), WEBGPU).slice(0, 3)).toEqual(["Add", "Add", "Add"]);
    expect(ops(full({}, 2))).toEqual(["Attention"]);
    expect(ops(full({ softcap: 50 }))).toEqual(["Attention"]);
    expect(ops(full({ softcap: null }))).toEqual(["MultiHeadAttention"]);
    expect(ops(full({}), plain).filter((op) => op === "MatMul")).toHaveLength(2);
    expect(ops(full({}), plain)).not.toContain("Tanh");
    expect(ops(full({ softcap: 50 }), plain)).toContain("Tanh");
  });

  test("rotary angles are float32, as the reference computes them", () => {
    const model = buildGraph("test", CPU, (g) => {
      const { cos, sin } = rotaryTables(g, { positions: 3, headDim: 4, theta: 10_000 });
      return { cos, sin };
    });
    const angles = [0, 0, 1, Math.fround(0.01), 2, Math.fround(0.02)];
    expect(model.initializers[0]!.data).toEqual(ndArray("float32", [3, 2], Float32Array.from(angles, Math.cos)));
    expect(model.initializers[1]!.data).toEqual(ndArray("float32", [3, 2], Float32Array.from(angles, Math.sin)));
  });
});
