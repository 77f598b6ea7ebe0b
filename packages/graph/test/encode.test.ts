import { fromBinary } from "@bufbuild/protobuf";
import { DTYPES, ndArray, type DType } from "@paligemma/core";
import {
  CPU,
  add,
  buildGraph,
  cast,
  encodeOnnx,
  gather,
  geluTanh,
  linear,
  softmax,
  type Attribute,
  type GraphModel,
} from "@paligemma/graph";
import type { TensorRef } from "@paligemma/weights";
import { describe, expect, test } from "vitest";
import { ModelProtoSchema, type GraphProto } from "../src/generated/onnx-pb.ts";

const SOURCE = {
  name: "file",
  path: "/models/weights.safetensors",
  size: 2 ** 40,
  read: () => Promise.reject(new Error("read")),
};

function nowhere(): never {
  throw new Error("no external tensor");
}

function decode(model: GraphModel, locate: Parameters<typeof encodeOnnx>[1] = nowhere): GraphProto {
  return fromBinary(ModelProtoSchema, encodeOnnx(model, locate).bytes).graph!;
}

describe("encodeOnnx", () => {
  test("says which ONNX it is", () => {
    const model = fromBinary(
      ModelProtoSchema,
      encodeOnnx(
        buildGraph("g", CPU, (g) => ({ y: g.input("x", "float32", []) })),
        nowhere,
      ).bytes,
    );
    expect(model.irVersion).toBe(10n);
    expect(model.opsetImport.map(({ domain, version }) => [domain, version])).toEqual([
      ["", 23n],
      ["com.microsoft", 1n],
    ]);
  });

  test("ports keep name, format, numbers and names of dimensions", () => {
    const graph = decode(
      buildGraph("ports", CPU, (g) => ({ y: g.input("x", "int64", ["batch", 0, 7]), z: g.input("s", "bool", []) })),
    );
    expect(graph.name).toBe("ports");
    const port = ({ name, type }: GraphProto["input"][number]): unknown => {
      if (type?.value.case !== "tensorType") throw new Error("no tensor");
      return [name, type.value.value.elemType, type.value.value.shape!.dim.map((dimension) => dimension.value.value)];
    };
    expect(graph.input.map(port)).toEqual([
      ["x", 7, ["batch", 0n, 7n]],
      ["s", 9, []],
    ]);
    expect(graph.output.map(port)).toEqual([
      ["y", 7, ["batch", 0n, 7n]],
      ["z", 9, []],
    ]);
  });

  test("attributes of every kind, inputs left out, domains", () => {
    const attributes: Record<string, Attribute> = {
      i: { int: -3 },
      f: { float: 0.1 },
      s: { string: "tanh" },
      n: { ints: [1, -1, 2 ** 40] },
    };
    const graph = decode(
      buildGraph("g", CPU, (g) => {
        const x = g.input("x", "float32", [1]);
        return {
          y: g.node({ op: "Op", domain: "com.microsoft", inputs: [x, undefined, x], attributes, outputs: [x] })[0]!,
        };
      }),
    );
    const [node] = graph.node;
    expect([node!.opType, node!.domain, node!.input, node!.output]).toEqual([
      "Op",
      "com.microsoft",
      ["x", "", "x"],
      ["y"],
    ]);
    const read = node!.attribute.map(({ name, type, i, f, s, ints }) => [
      name,
      type,
      i,
      f,
      new TextDecoder().decode(s),
      ints,
    ]);
    expect(read).toEqual([
      ["i", 2, -3n, 0, "", []],
      ["f", 1, 0n, Math.fround(0.1), "", []],
      ["s", 3, 0n, 0, "tanh", []],
      ["n", 7, 0n, 0, "", [1n, -1n, 1_099_511_627_776n]],
    ]);
  });

  test("constants carry their bytes, also from the middle of a buffer", () => {
    const data = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
    const graph = decode(buildGraph("g", CPU, (g) => ({ y: g.constant(ndArray("float32", [2], data)) })));
    const [tensor] = graph.initializer;
    expect([tensor!.name, tensor!.dataType, tensor!.dims, tensor!.dataLocation]).toEqual(["constant_0", 1, [2n], 0]);
    expect(tensor!.rawData).toEqual(new Uint8Array(Float32Array.of(1, 2).buffer));
  });

  test("external tensors carry their place, and are listed", () => {
    const ref: TensorRef = {
      name: "w",
      dtype: "bfloat16",
      shape: [4, 8],
      source: SOURCE,
      start: 2 ** 33 + 1,
      end: 2 ** 33 + 65,
    };
    const model = buildGraph("g", CPU, (g) => ({ y: g.external("w", ref.dtype, ref.shape, ref) }));
    const locate = ({ start, end, source }: TensorRef): ReturnType<Parameters<typeof encodeOnnx>[1]> => ({
      location: source.path!.slice(1),
      offset: start,
      length: end - start,
    });
    const [tensor] = decode(model, locate).initializer;
    expect([tensor!.dataType, tensor!.dims, tensor!.dataLocation, tensor!.rawData.length]).toEqual([
      16,
      [4n, 8n],
      1,
      0,
    ]);
    expect(Object.fromEntries(tensor!.externalData.map(({ key, value }) => [key, value]))).toEqual({
      location: "models/weights.safetensors",
      offset: "8589934593",
      length: "64",
    });
    expect(encodeOnnx(model, locate).external).toEqual([ref]);
  });

  test("what nodes make carries its type", () => {
    const model = buildGraph("typed", CPU, (g) => {
      const x = g.input("x", "float32", ["n", 8]);
      return { y: cast(add(x, x), "int32") };
    });
    const { valueInfo } = decode(model);
    expect(valueInfo.map(({ name }) => name)).toEqual(["Add_0", "y"]);
    expect(valueInfo[1]).toMatchObject({
      type: {
        value: { value: { elemType: 6, shape: { dim: [{ value: { value: "n" } }, { value: { value: 8n } }] } } },
      },
    });
  });

  test("a tensor without bytes is an error", () => {
    const model = buildGraph("g", CPU, (g) => ({ y: g.external("w", "float32", [1]) }));
    expect(() => encodeOnnx(model, nowhere)).toThrow("graph/unbound: w of the graph g");
  });

  test("packed formats cannot cross the border", () => {
    for (const dtype of ["int4", "uint4"] as const) {
      const model = buildGraph("g", CPU, (g) => ({ y: g.input("x", dtype, [2]) }));
      expect(() => encodeOnnx(model, nowhere)).toThrow("graph/dtype: x is");
    }
  });

  test("more constants than a message can hold are an error", () => {
    // Never written to, so no memory is taken.
    const big = ndArray("uint8", [2 ** 30 + 1], new Uint8Array(2 ** 30 + 1));
    const model = buildGraph("g", CPU, (g) => ({ y: g.constant(big) }));
    expect(() => encodeOnnx(model, nowhere)).toThrow("graph/inline");
  });

  test("what was built is what is read back, for graphs put together at random", () => {
    let state = 1;
    const pick = (n: number): number => (state = (state * 48_271) % 2_147_483_647) % n;
    for (let round = 0; round < 50; round++) {
      const model = buildGraph(`g${round}`, CPU, (g) => {
        const values = [g.input("x", "float32", ["n", 8])];
        const any = () => values[pick(values.length)]!;
        for (let i = 0; i < 12; i++) {
          const w = g.external(`w${pick(4)}`, "float32", [8, 8], {
            name: "w",
            dtype: "float32",
            shape: [8, 8],
            source: SOURCE,
            start: 0,
            end: 256,
          });
          const made = [
            () => add(any(), any()),
            () => softmax(any(), pick(2)),
            () => geluTanh(any()),
            () =>
              g.node({
                op: "Gemm",
                inputs: [any(), w],
                attributes: { transB: { int: 1 } },
                outputs: [{ dtype: "float32", shape: ["n", 8] }],
              })[0]!,
            () =>
              gather(
                any(),
                g.constant(
                  ndArray(
                    "int64",
                    [8],
                    BigInt64Array.from({ length: 8 }, () => BigInt(pick(8))),
                  ),
                ),
                1,
              ),
          ][pick(5)]!();
          values.push(made);
        }
        return { y: values.at(-1)! };
      });
      const graph = decode(model, () => ({ location: "w", offset: 0, length: 256 }));
      const nodes = graph.node.map(({ opType, domain, name, input, output }) => ({
        op: opType,
        domain,
        name,
        inputs: input,
        outputs: output,
      }));
      expect(nodes).toEqual(
        model.nodes.map(({ op, domain, name, inputs, outputs }) => ({ op, domain, name, inputs, outputs })),
      );
      const initializers = graph.initializer.map(({ name, dims }) => ({ name, shape: dims.map(Number) }));
      expect(initializers).toEqual(model.initializers.map(({ name, shape }) => ({ name, shape })));
    }
  });

  test("every number format has its ONNX number", () => {
    // onnx.proto, TensorProto.DataType
    const numbers: Record<DType, number> = {
      float32: 1,
      uint8: 2,
      int8: 3,
      uint16: 4,
      int16: 5,
      int32: 6,
      int64: 7,
      bool: 9,
      float16: 10,
      float64: 11,
      uint32: 12,
      uint64: 13,
      bfloat16: 16,
      uint4: 21,
      int4: 22,
    };
    const model = buildGraph("g", CPU, (g) =>
      Object.fromEntries(
        DTYPES.filter((d) => !d.endsWith("int4")).map((dtype) => [dtype, g.input(`in.${dtype}`, dtype, [1])]),
      ),
    );
    for (const { name, type } of decode(model).output) {
      expect(type?.value.case === "tensorType" && type.value.value.elemType).toBe(numbers[name as DType]);
    }
  });

  test("a whole linear layer encodes within its operators", () => {
    const w = (name: string, shape: readonly number[]): TensorRef => ({
      name,
      dtype: "float32",
      shape,
      source: SOURCE,
      start: 0,
      end: 0,
    });
    const model = buildGraph("g", CPU, (g) => {
      const scope = {
        graph: g,
        path: "",
        at: () => scope,
        has: () => true,
        stored: () => g.size("n"),
        quantized: () => undefined,
        joined: () => undefined,
        lowRank: () => undefined,
        tensor: (name: string, shape: readonly number[]) => g.external(name, "float32", shape, w(name, shape)),
      };
      return { y: linear(g.input("x", "float32", ["n", 8]), scope, 4, { bias: true }) };
    });
    expect(decode(model, () => ({ location: "w", offset: 0, length: 0 })).node[0]).toMatchObject({
      opType: "Gemm",
      input: ["x", "weight", "bias"],
    });
  });
});
