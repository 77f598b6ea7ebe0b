import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { ndArray, toFloat32, type NdArray } from "@paligemma/core";
import {
  buildGraph,
  checkpointWeights,
  CPU,
  CPU_WITHOUT_PANELS,
  gatherQuantized,
  linear,
  linears,
  perceptron,
  WEBGPU,
  type GraphModel,
  type Shape,
  type Target,
} from "@paligemma/graph";
import { dequantizeMatrix, quantizeMatrix } from "@paligemma/quantization";
import {
  checkpointOf,
  memorySource,
  ndTensor,
  openSafetensors,
  quantizedParts,
  safetensorsBytes,
  type Checkpoint,
  type QuantizedFormat,
} from "@paligemma/weights";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { among, gaussian, relativeError, tensorOf } from "./matrices.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await createNodeBackend();
});
afterAll(async () => await backend.dispose());

const OUT = 192;
const formats = ([4, 8] as const).flatMap((bits) =>
  ([16, 32, 64, 128] as const).flatMap((blockSize) =>
    [false, true].map((zeroPoints) => ({ bits, blockSize, zeroPoints })),
  ),
);

const ROW = 0;

describe.each([
  ...formats,
  { bits: 8, blockSize: ROW, zeroPoints: false },
  { bits: 8, blockSize: ROW, zeroPoints: false, target: CPU_WITHOUT_PANELS },
] as readonly (QuantizedFormat & { readonly target?: Target })[])(
  "onnxruntime reads $bits bits in blocks of $blockSize (0: the row), zero points: $zeroPoints",
  ({ target, ...given }) => {
    // 144 fills no whole number of the larger blocks.
    it.each([
      [128, "any number of rows", ["batch", "tokens"], [2, 3]],
      [144, "any number of rows", ["batch", "tokens"], [2, 3]],
      [144, "a few rows", [2, 3], [2, 3]],
      [144, "many rows", [1, 6], [1, 6]],
    ] as const)("rows of %i, %s", async (width, _what, lead, size) => {
      const format = { ...given, blockSize: given.blockSize === ROW ? width : given.blockSize };
      const parts = quantizeMatrix(tensorOf("fc.weight", gaussian([OUT, width], width)), format);
      const bias = gaussian([OUT], 4, 1);
      const checkpoint = checkpointOf([...parts, tensorOf("fc.bias", bias)]);
      const model = buildGraph("kernels", target ?? backend.target, (g) => {
        const w = checkpointWeights(g, checkpoint).at("fc");
        return {
          y: linear(g.input("x", "float32", [...lead, width]), w, OUT, { bias: true }),
          rows: gatherQuantized(w.quantized("weight", [OUT, width])!, g.input("ids", "int64", ["n"])),
        };
      });
      await using session = await backend.compile(model);
      const x = gaussian([...size, width], 8, 1);
      const ids = [3, 0, OUT - 1];
      const { host } = await session.run(
        { x, ids: ndArray("int64", [3], BigInt64Array.from(ids.map(BigInt))) },
        { host: ["y", "rows"] },
      );

      const weight = (await dequantizeMatrix(among(parts, "fc.weight"), width)).data;
      expect(host["rows"]!.shape).toEqual([3, width]);
      const rows = ids.flatMap((id) => [...weight.subarray(id * width, (id + 1) * width)]);
      expect(relativeError(rows, toFloat32(host["rows"]!).data)).toBeLessThan(TOLERANCES["quantization/rounding"]);

      expect(host["y"]!.shape).toEqual([...size, OUT]);
      const product = Array.from({ length: 6 * OUT }, (_, i) => {
        const [row, out] = [Math.floor(i / OUT), i % OUT];
        let sum = bias.data[out]!;
        for (let k = 0; k < width; k++) sum += x.data[row * width + k]! * weight[out * width + k]!;
        return sum;
      });
      expect(relativeError(product, toFloat32(host["y"]!).data)).toBeLessThan(TOLERANCES["quantization/product"]);
    });
  },
);

// Of the wider one, few rows are multiplied in two parts.
it.each([96, 4096])("one row of %i in 8 bits gives what it gives among others", async (width) => {
  const format = { bits: 8, blockSize: width, zeroPoints: false } as const;
  const checkpoint = checkpointOf(quantizeMatrix(tensorOf("fc.weight", gaussian([OUT, width], 3)), format));
  const product = async (shape: Shape, x: NdArray): Promise<readonly number[]> => {
    const model = buildGraph("rows", backend.target, (g) => ({
      y: linear(g.input("x", "float32", shape), checkpointWeights(g, checkpoint).at("fc"), OUT),
    }));
    await using session = await backend.compile(model);
    return [...(await session.run({ x }, { host: ["y"] })).host["y"]!.data].map(Number);
  };
  const [row, three, six] = [1, 3, 6].map((n) => gaussian([n, width], 8, 1)) as [NdArray, NdArray, NdArray];
  const exact = await product([1, width], row);
  for (const [shape, x] of [
    [["n", width], row],
    [["n", width], three],
    [[3, width], three],
    [[6, width], six],
  ] as const)
    expect(relativeError(exact, (await product(shape, x)).slice(0, OUT))).toBeLessThan(
      TOLERANCES["quantization/rounding"],
    );
});

it.each([false, true])("a large matrix is packed in parts, zero points: %s", async (zeroPoints) => {
  // Scales of 10 MB; rows that no number of parts divides.
  const [out, width, blockSize] = [81_939, 496, 16];
  const parts = quantizedParts("fc.weight", [out, width], { bits: 4, blockSize, zeroPoints });
  const bytes = (count: number): Uint8Array<ArrayBuffer> => Uint8Array.from({ length: count }, (_, i) => (i * 37) >> 3);
  const blocks = width / blockSize;
  const scales = Float32Array.from({ length: out * blocks }, (_, i) => ((i % 7) - 3) / 64);
  const tensors = [
    ndTensor(parts.data.name, ndArray("uint8", parts.data.shape, bytes((out * width) / 2))),
    ndTensor(parts.scales.name, ndArray("float32", parts.scales.shape, scales)),
    ...(parts.zeroPoints
      ? [ndTensor(parts.zeroPoints.name, ndArray("uint8", parts.zeroPoints.shape, bytes(out * Math.ceil(blocks / 2))))]
      : []),
  ];
  const x = gaussian([1, width], 8, 1);
  const ids = Array.from({ length: 8 }, (_, i) => Math.floor((i * (out - 1)) / 7));
  const build = (target: Target): GraphModel =>
    buildGraph("parts", target, (g) => {
      const w = checkpointWeights(g, checkpointOf(tensors)).at("fc");
      return {
        y: linear(g.input("x", "float32", [1, width]), w, out),
        rows: gatherQuantized(w.quantized("weight", [out, width])!, g.input("ids", "int64", ["n"])),
      };
    });
  const model = build(backend.target);
  const products = ({ nodes }: GraphModel): number => nodes.filter(({ op }) => op === "MatMulNBits").length;
  expect([products(model), products(build({ ...CPU, mapsFiles: false }))]).toEqual([2, 1]);
  await using session = await backend.compile(model);
  const { host } = await session.run(
    { x, ids: ndArray("int64", [ids.length], BigInt64Array.from(ids.map(BigInt))) },
    { host: ["y", "rows"] },
  );
  const [y, rows] = [toFloat32(host["y"]!), toFloat32(host["rows"]!).data];
  expect(y.shape).toEqual([1, out]);
  const expected = ids.map((_, i) => x.data.reduce((sum, value, k) => sum + value * rows[i * width + k]!, 0));
  expect(
    relativeError(
      expected,
      ids.map((id) => y.data[id]!),
    ),
  ).toBeLessThan(TOLERANCES["quantization/product"]);
});

describe.each([
  ["plain, with biases", false],
  ["gated", true],
])("a perceptron of whole rows, %s", (_, gated) => {
  const [width, hidden] = [96, 384];
  const sizes = { up: "up", down: "down", hiddenSize: hidden };
  const layers = gated ? { ...sizes, gate: "gate" } : { ...sizes, bias: true };
  const parts = (
    [
      ["gate", hidden, width],
      ["up", hidden, width],
      ["down", width, hidden],
    ] as const
  ).flatMap(([name, out, input], i) => [
    ...quantizeMatrix(tensorOf(`${name}.weight`, gaussian([out, input], i + 2, 0.2)), {
      bits: 8,
      blockSize: input,
      zeroPoints: false,
    }),
    tensorOf(`${name}.bias`, gaussian([out], i + 9, 1)),
  ]);
  const build = (rows: "n" | number, slots: readonly string[] = []): GraphModel =>
    buildGraph("perceptron", backend.target, (g) => ({
      y: perceptron(
        g.input("x", "float32", [rows, width]),
        checkpointWeights(g, checkpointOf(parts), { whole: new Set(), lowRank: new Set(slots) }),
        layers,
      ),
    }));

  it("of many rows gives what its layers give one after the other", async () => {
    const x = gaussian([6, width], 8, 1);
    // Rounding must not depend on what stands in other rows, or on nothing at all.
    x.data.fill(0, width, 2 * width);
    x.data.subarray(2 * width, 3 * width).forEach((value, i, row) => (row[i] = value * 1e-3));
    const results = await Promise.all(
      [build("n"), build(6)].map(async (model) => {
        await using session = await backend.compile(model);
        return toFloat32((await session.run({ x }, { host: ["y"] })).host["y"]!).data;
      }),
    );
    const [apart, together] = results as [Float32Array, Float32Array];
    for (let row = 0; row < 6; row++) {
      const [a, b] = [apart, together].map((all) => all.subarray(row * width, (row + 1) * width)) as [
        Float32Array,
        Float32Array,
      ];
      if (gated && row === 1) expect([...b]).toEqual([...a]);
      else expect(relativeError(a, b)).toBeLessThan(TOLERANCES["quantization/batched scores"]);
    }
  });

  it("turns bytes and no wider numbers around between its layers, unless an adapter adds to them", () => {
    if (!backend.target.fused.has("MatMulInteger")) return;
    const widths = ({ nodes, values = [] }: GraphModel): readonly (string | undefined)[] =>
      nodes
        .filter(({ op }) => op === "Transpose")
        .map(({ outputs }) => values.find(({ name }) => name === outputs[0])?.dtype);
    expect(widths(build(6)).filter((dtype) => dtype === "uint8")).toHaveLength(1);
    expect(widths(build("n"))).not.toContain("uint8");
    expect(widths(build(6, ["up.weight"]))).not.toContain("uint8");
  });
});

describe("matrices of one input", () => {
  const outs = { q: OUT, k: OUT / 3 };
  const width = 96;

  /** Their parts in one source, in this order. */
  async function inOneFile(order: readonly string[]): Promise<Checkpoint> {
    const parts = Object.entries(outs).flatMap(([name, out]) =>
      quantizeMatrix(tensorOf(`${name}.weight`, gaussian([out, width], out)), {
        bits: 8,
        blockSize: width,
        zeroPoints: false,
      }),
    );
    const sorted = order.map((name) => parts.find((part) => part.name === name)!);
    return await openSafetensors(memorySource(await safetensorsBytes(sorted), "one file"));
  }
  const parted = (part: string): readonly string[] => Object.keys(outs).map((name) => `${name}.weight.${part}`);

  it.each([
    ["side by side", 1, [...parted("scales"), ...parted("sums"), ...parted("int8")]],
    ["in another order", 2, [...parted("scales"), ...parted("sums"), ...parted("int8").toReversed()]],
  ] as const)("%s, one row: %i products", async (_, products, order) => {
    const checkpoint = await inOneFile(order);
    const build = (joined: boolean): GraphModel =>
      buildGraph("joined", backend.target, (g) => {
        const x = g.input("x", "float32", [1, width]);
        const w = checkpointWeights(g, checkpoint);
        const [q, k] = joined ? linears(x, w, outs) : [linear(x, w.at("q"), outs.q), linear(x, w.at("k"), outs.k)];
        return { q: q!, k: k! };
      });
    const model = build(true);
    if (backend.target.fused.has("MatMulInteger"))
      expect(model.nodes.filter(({ op }) => op === "MatMulInteger")).toHaveLength(products);
    const x = gaussian([1, width], 8, 1);
    const results = await Promise.all(
      [model, build(false)].map(async (one) => {
        await using session = await backend.compile(one);
        return (await session.run({ x }, { host: ["q", "k"] })).host;
      }),
    );
    expect(results[0]).toEqual(results[1]);
  });
});

describe("graphs of quantised weights", () => {
  const parts = quantizeMatrix(tensorOf("fc.weight", gaussian([OUT, 64], 1)), {
    bits: 4,
    blockSize: 32,
    zeroPoints: false,
  });
  const build = (target: Target, out: number, refs = parts, width = 64): unknown =>
    buildGraph("graph", target, (g) => ({
      y: linear(g.input("x", "float32", ["n", width]), checkpointWeights(g, checkpointOf(refs)).at("fc"), out),
    }));

  it("refuse devices that cannot multiply with them", () => {
    expect(() => build({ ...WEBGPU, fused: new Set() }, OUT)).toThrow(
      /graph\/quantized: fc\.weight\.int4 is quantised, and webgpu cannot multiply/,
    );
    expect(() => build({ ...CPU, compute: "float16" }, OUT)).toThrow(/graph\/quantized/);
    const rows = quantizeMatrix(tensorOf("fc.weight", gaussian([OUT, 72], 1)), {
      bits: 8,
      blockSize: 72,
      zeroPoints: false,
    });
    expect(() => build(WEBGPU, OUT, rows, 72)).toThrow(
      /graph\/quantized: .* one scale for a row of 72, and webgpu takes/,
    );
  });

  it("refuse other shapes and parts that do not belong together", () => {
    expect(() => build(CPU, OUT + 1)).toThrow(
      /weights\/shape: fc\.weight\.int4 is \[192, 2, 16\], the config asks for \[193, 64\]/,
    );
    expect(() => build(CPU, OUT, [parts[1]!])).toThrow(/weights\/quantized: .*fc\.weight\.scales is missing/);
  });
});
