import { fromFloat32, ndArray, type DType } from "@paligemma/core";
import {
  WEBGPU,
  buildGraph,
  cast,
  checkpointWeights,
  gather,
  linear,
  rmsNorm,
  type GraphModel,
} from "@paligemma/graph";
import { memorySource, type Checkpoint, type TensorRef } from "@paligemma/weights";
import { describe, expect, test } from "vitest";
import { bindWeights, readWeights } from "../src/weights/inline.ts";
import { planWeights } from "../src/weights/plan.ts";
import { tellSizes } from "../src/gpu/sizes.ts";
import { OUT, WIDTH, scaleOf, weightAt, wholeRows } from "./whole-rows.ts";
import { halfCasts } from "../src/gpu/half-casts.ts";

function checkpoint(dtype: DType): Checkpoint {
  const source = memorySource(new Uint8Array(4 * 600));
  const ref = (name: string, shape: readonly number[], start: number): [string, TensorRef] => {
    const size = shape.reduce((a, b) => a * b, 1) * (dtype === "float32" ? 4 : 2);
    return [name, { name, dtype, shape, source, start, end: start + size }];
  };
  const tensors = new Map([ref("table.weight", [20, 16], 0), ref("norm.weight", [16], 1280)]);
  return { tensors, metadata: {}, read: () => Promise.reject(new Error("unused")) };
}

/** Rows of a table, normed, and the table as a head. */
function tied(dtype: DType): GraphModel {
  return buildGraph("tied", WEBGPU, (g) => {
    const w = checkpointWeights(g, checkpoint(dtype));
    const rows = cast(
      gather(w.at("table").stored("weight", [20, 16]), g.input("ids", "int64", ["batch", "tokens"])),
      "float32",
    );
    return { y: linear(rmsNorm(rows, w.at("norm"), 1e-6), w.at("table"), 20) };
  });
}

describe("planWeights", () => {
  test.each(["bfloat16", "float16", "float32"] as const)("%s: loaded as float32, without casts of weights", (dtype) => {
    const { model, inline, streamed } = planWeights(tied(dtype), WEBGPU, 256);
    expect(streamed.map(({ name, dtype: loaded }) => [name, loaded])).toEqual([["table.weight", "float32"]]);
    expect(inline.map(({ name, dtype: loaded }) => [name, loaded])).toEqual([["norm.weight", "float32"]]);
    const weights = new Set(["table.weight", "norm.weight"]);
    expect(model.nodes.filter(({ op, inputs }) => op === "Cast" && weights.has(inputs[0]!))).toEqual([]);
    expect(model.initializers.filter(({ name }) => weights.has(name)).map((i) => i.dtype)).toEqual([
      "float32",
      "float32",
    ]);
  });

  test("a device of half precision loads what is only used in half precision so", () => {
    const half = { ...WEBGPU, compute: "float16", stored: new Set(["float32", "float16"] as const) } as const;
    const model = buildGraph("half", half, (g) => ({
      y: linear(g.input("x", "float16", ["n", 16]), checkpointWeights(g, checkpoint("float32")).at("table"), 20),
    }));
    expect(planWeights(model, half, 0).streamed.map(({ dtype }) => dtype)).toEqual(["float16"]);
  });

  test("constants in a format that the device does not hold are converted like weights", () => {
    const half = fromFloat32(ndArray("float32", [2], Float32Array.of(1.5, -2)), "float16");
    const model = buildGraph("constants", WEBGPU, (g) => ({
      y: gather(g.constant(half), g.input("ids", "int64", ["n"])),
      z: cast(g.constant(ndArray("float32", [1], Float32Array.of(0.5))), "float16"),
    }));
    const { model: planned, inline, streamed } = planWeights(model, WEBGPU, 0);
    expect([...inline, ...streamed]).toEqual([]);
    expect(planned.initializers.map(({ dtype, data }) => [dtype, data && [...data.data]])).toEqual([
      ["float32", [1.5, -2]],
      ["float16", [0x3800]],
    ]);
    expect(planned.nodes.map(({ op }) => op)).toEqual(["Gather"]);
  });

  test("whole rows in 8 bits are cut into blocks while they are read", async () => {
    const { model, inline, streamed } = planWeights(wholeRows(WEBGPU), WEBGPU, 0);
    expect(model.nodes.map(({ op }) => op)).toEqual(["MatMulNBits"]);
    expect(inline).toEqual([]);
    expect(streamed).toMatchObject([
      { dtype: "uint8", shape: [OUT, 3, 128], change: { panel: { width: WIDTH, rows: 128 }, flip: 128 } },
      { dtype: "float32", shape: [OUT, 3], change: { repeat: 3 } },
    ]);
    expect(model.nodes[0]!.inputs.slice(1)).toEqual(streamed.map(({ name }) => name));
    const [bytes, scales] = (await readWeights(streamed, { task: "read" })).values();
    expect([...bytes!.data]).toEqual(
      Array.from({ length: OUT * WIDTH }, (_, i) => weightAt(Math.floor(i / WIDTH), i % WIDTH) + 128),
    );
    expect([...scales!.data].slice(0, 5)).toEqual([0, 0, 0, 1, 1].map(scaleOf));
  });

  test("what is used as it lies too stays beside what is made of it", () => {
    const given = wholeRows(WEBGPU);
    const whole = given.initializers.find(({ ref }) => ref?.dtype === "int8")!;
    const reader = { ...given.nodes.at(-1)!, inputs: [whole.name], outputs: ["z"] };
    const { streamed } = planWeights({ ...given, nodes: [...given.nodes, reader] }, WEBGPU, 8192);
    expect(streamed.map(({ dtype, change }) => [dtype, change])).toEqual([
      ["int8", undefined],
      ["uint8", { panel: { width: WIDTH, rows: 128 }, flip: 128 }],
    ]);
  });

  test("streamed tensors become inputs, small ones constants with their bytes", async () => {
    const plan = planWeights(tied("float32"), WEBGPU, 256);
    const bound = bindWeights(plan, await readWeights(plan.inline, { task: "read" }));
    expect(bound.inputs.map(({ name }) => name)).toEqual(["ids", "table.weight"]);
    expect(bound.initializers.find(({ name }) => name === "norm.weight")?.data).toEqual(
      ndArray("float32", [16], new Float32Array(16)),
    );
    expect(bound.initializers.some(({ name }) => name === "table.weight")).toBe(false);
  });
});

describe("tellSizes", () => {
  test("shapes of inputs become inputs, and inputs that nothing reads go", () => {
    const model = buildGraph("sized", WEBGPU, (g) => {
      const x = g.input("x", "float32", ["batch", "tokens"]);
      g.input("unread", "int64", ["n"]);
      const none = g.constant(ndArray("int64", [1], BigInt64Array.of(1n)));
      const parts = [g.size("batch"), g.size("tokens"), none];
      const shape = g.node({
        op: "Concat",
        inputs: parts,
        attributes: { axis: { int: 0 } },
        outputs: [{ dtype: "int64", shape: [3] }],
      })[0]!;
      return {
        y: g.node({
          op: "Reshape",
          inputs: [x, shape],
          outputs: [{ dtype: "float32", shape: ["batch", "tokens", 1] }],
        })[0]!,
      };
    });
    const { model: told, sizes } = tellSizes(model);
    expect([...sizes]).toEqual([
      ["batch", "size of batch"],
      ["tokens", "size of tokens"],
    ]);
    expect(told.inputs.map(({ name }) => name)).toEqual(["x", "size of batch", "size of tokens"]);
    expect(told.nodes.map(({ op }) => op)).toEqual(["Concat", "Reshape"]);
    expect(told.nodes[0]!.inputs.slice(0, 2)).toEqual(["size of batch", "size of tokens"]);
  });
});

test("casts to float16 and their readers are named", () => {
  const model = buildGraph("halves", WEBGPU, (g) => {
    const x = g.input("x", "float32", ["n"]);
    return { y: cast(cast(x, "float16"), "float32"), z: cast(x, "int32") };
  });
  const names = halfCasts(model);
  expect(model.nodes.filter(({ name }) => names.includes(name)).map(({ op }) => op)).toEqual(["Cast", "Cast"]);
  expect(names).toHaveLength(2);
});
