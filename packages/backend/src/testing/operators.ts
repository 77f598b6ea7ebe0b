import { ndArray } from "@paligemma/core";
import {
  add,
  argMax,
  cast,
  checkpointWeights,
  concat,
  div,
  gather,
  geluTanh,
  layerNorm,
  linear,
  matMul,
  mul,
  patches,
  perceptron,
  relu,
  reshape,
  rmsNorm,
  rotaryAt,
  rotaryTables,
  rotate,
  softmax,
  sub,
  tanh,
  transpose,
  where,
  type Graph,
  type Value,
} from "@paligemma/graph";
import { expect } from "vitest";
import { exact, expectClose, floats, int64, random, type Reference } from "./arrays.ts";
import { checkpointWith, runOnce, type Bench } from "./bench.ts";
import * as reference from "./reference.ts";

const EPS = 1e-6;

/** Each operator of the graph package against its formula in float64. */
export function operatorTests(bench: Bench): void {
  const { test, tolerances } = bench;

  for (const bias of [false, true]) {
    test(`linear ${bias ? "with" : "without"} bias`, async () => {
      const x = random([2, 5, 96], 1);
      const arrays = { "fc.weight": random([40, 96], 2), "fc.bias": random([40], 3) };
      const checkpoint = await checkpointWith(arrays);
      const expected = reference.linear(
        exact(x),
        exact(arrays["fc.weight"]),
        bias ? exact(arrays["fc.bias"]) : undefined,
      );
      const layer = (g: Graph): Readonly<Record<string, Value>> => ({
        y: linear(g.input("x", "float32", ["batch", "tokens", 96]), checkpointWeights(g, checkpoint).at("fc"), 40, {
          bias,
        }),
      });
      for (const few of [[], ["batch", "tokens"]]) {
        const { y } = await runOnce(bench.backend, { x }, layer, bench.backend.target, { few });
        expectClose(y, expected, tolerances.operator);
      }
    });
  }

  for (const gated of [false, true]) {
    test(`perceptron, ${gated ? "gated" : "plain, with biases"}`, async () => {
      const x = random([3, 24], 1);
      const arrays = {
        "gate.weight": random([40, 24], 2),
        "up.weight": random([40, 24], 3),
        "up.bias": random([40], 4),
        "down.weight": random([24, 40], 5),
        "down.bias": random([24], 6),
      };
      const checkpoint = await checkpointWith(arrays);
      const of = (name: keyof typeof arrays): Reference => exact(arrays[name]);
      const up = reference.linear(exact(x), of("up.weight"), gated ? undefined : of("up.bias"));
      const opened = reference.map(gated ? reference.linear(exact(x), of("gate.weight")) : up, (value) =>
        reference.geluTanh(value),
      );
      const between = gated ? { ...opened, data: opened.data.map((value, i) => value * up.data[i]!) } : opened;
      const expected = reference.linear(between, of("down.weight"), gated ? undefined : of("down.bias"));
      const sizes = { up: "up", down: "down", hiddenSize: 40 };
      const layers = gated ? { ...sizes, gate: "gate" } : { ...sizes, bias: true };
      for (const few of [[], ["rows"]]) {
        const { y } = await runOnce(
          bench.backend,
          { x },
          (g) => ({ y: perceptron(g.input("x", "float32", ["rows", 24]), checkpointWeights(g, checkpoint), layers) }),
          bench.backend.target,
          { few },
        );
        expectClose(y, expected, tolerances.operator);
      }
    });
  }

  test("linear over no rows", async () => {
    const checkpoint = await checkpointWith({ weight: random([4, 8], 1) });
    const { y } = await runOnce(bench.backend, { x: floats([0, 8], []) }, (g) => ({
      y: linear(g.input("x", "float32", ["n", 8]), checkpointWeights(g, checkpoint), 4),
    }));
    expect(y!.shape).toEqual([0, 4]);
  });

  test("patches", async () => {
    const x = random([2, 3, 28, 14], 4);
    const arrays = { weight: random([16, 3, 7, 7], 5), bias: random([16], 6) };
    const checkpoint = await checkpointWith(arrays);
    const { y } = await runOnce(bench.backend, { x }, (g) => ({
      y: patches(g.input("x", "float32", ["images", 3, 28, 14]), checkpointWeights(g, checkpoint), 16, 7),
    }));
    expectClose(y, reference.patches(exact(x), exact(arrays.weight), exact(arrays.bias)), tolerances.operator);
  });

  test("layerNorm", async () => {
    const x = random([2, 3, 64], 7);
    const arrays = { weight: random([64], 8), bias: random([64], 9) };
    const checkpoint = await checkpointWith(arrays);
    const { y } = await runOnce(bench.backend, { x }, (g) => ({
      y: layerNorm(g.input("x", "float32", ["batch", "tokens", 64]), checkpointWeights(g, checkpoint), EPS),
    }));
    expectClose(y, reference.layerNorm(exact(x), exact(arrays.weight), exact(arrays.bias), EPS), tolerances.operator);
  });

  test("rmsNorm, scaled by one plus the weight", async () => {
    const x = random([2, 3, 64], 10);
    const weight = random([64], 11);
    const checkpoint = await checkpointWith({ weight });
    for (const fused of [bench.backend.target.fused, new Set<never>()]) {
      const { y } = await runOnce(
        bench.backend,
        { x },
        (g) => ({
          y: rmsNorm(g.input("x", "float32", ["batch", "tokens", 64]), checkpointWeights(g, checkpoint), EPS),
        }),
        { ...bench.backend.target, fused },
      );
      expectClose(y, reference.rmsNorm(exact(x), exact(weight), EPS), tolerances.operator);
    }
  });

  const unary: readonly (readonly [string, (x: Value) => Value, (x: number) => number])[] = [
    ["geluTanh", geluTanh, reference.geluTanh],
    ["tanh", tanh, Math.tanh],
    ["relu", relu, (x) => Math.max(x, 0)],
  ];
  for (const [name, operator, formula] of unary) {
    test(name, async () => {
      // Far enough out for the tails, where overflow inside a formula would show.
      const x = floats(
        [41],
        Array.from({ length: 41 }, (_, i) => (i - 20) * 0.75),
      );
      const { y } = await runOnce(bench.backend, { x }, (g) => ({ y: operator(g.input("x", "float32", ["n"])) }));
      expectClose(y, reference.map(exact(x), formula), tolerances.operator);
    });
  }

  const binary: readonly (readonly [string, (a: Value, b: Value) => Value, (a: number, b: number) => number])[] = [
    ["add", add, (a, b) => a + b],
    ["sub", sub, (a, b) => a - b],
    ["mul", mul, (a, b) => a * b],
    ["div", div, (a, b) => a / b],
  ];
  for (const [name, operator, formula] of binary) {
    test(`${name}, stretched over leading axes`, async () => {
      const a = random([2, 3, 4], 12);
      const b = floats([4], [0.5, -2, 3, 0.25]);
      const { y } = await runOnce(bench.backend, { a, b }, (g) => ({
        y: operator(g.input("a", "float32", ["n", 3, 4]), g.input("b", "float32", [4])),
      }));
      expectClose(
        y,
        { shape: [2, 3, 4], data: Float64Array.from(a.data, (value, i) => formula(value, b.data[i % 4]!)) },
        tolerances.operator,
      );
    });
  }

  test("softmax of large scores", async () => {
    const x = floats([2, 4], [1000, 1001, 999, -1000, 0.1, 0.2, 0.3, 0.4]);
    const { y } = await runOnce(bench.backend, { x }, (g) => ({ y: softmax(g.input("x", "float32", ["n", 4])) }));
    expectClose(y, reference.softmax(exact(x)), tolerances.operator);
  });

  test("matMul over leading axes", async () => {
    const [a, b] = [random([2, 3, 5, 8], 13), random([2, 3, 8, 6], 14)];
    const { y } = await runOnce(bench.backend, { a, b }, (g) => ({
      y: matMul(g.input("a", "float32", ["n", 3, "rows", 8]), g.input("b", "float32", ["n", 3, 8, 6])),
    }));
    const data = Float64Array.from({ length: 2 * 3 * 5 * 6 }, (_, i) => {
      const [column, row, stack] = [i % 6, Math.floor(i / 6) % 5, Math.floor(i / 30)];
      let sum = 0;
      for (let k = 0; k < 8; k++) sum += a.data[(stack * 5 + row) * 8 + k]! * b.data[(stack * 8 + k) * 6 + column]!;
      return sum;
    });
    expectClose(y, { shape: [2, 3, 5, 6], data }, tolerances.operator);
  });

  for (const heads of [1, 4]) {
    test(`rotate, ${heads} heads`, async () => {
      const x = random([2, 3, heads * 16], 15);
      const places = [0, 1, 299, 7, 8, 9];
      for (const fused of [bench.backend.target.fused, new Set<never>()]) {
        for (const form of ["tables", "at hand"]) {
          const { y } = await runOnce(
            bench.backend,
            { x, positions: int64([2, 3], places) },
            (g) => {
              const positions = g.input("positions", "int64", ["batch", "tokens"]);
              const made = { positions: 300, headDim: 16, theta: 10_000 };
              const tables = form === "tables" ? rotaryTables(g, made) : rotaryAt(positions, made);
              return { y: rotate(g.input("x", "float32", ["batch", "tokens", heads * 16]), positions, tables, heads) };
            },
            { ...bench.backend.target, fused },
          );
          expectClose(y, reference.rotate(exact(x), places, heads, 10_000), tolerances.operator);
        }
      }
    });
  }

  test("gather of rows, none and several", async () => {
    const table = random([5, 3], 16);
    for (const indices of [[], [4, 0, 4]]) {
      const { y } = await runOnce(bench.backend, { indices: int64([indices.length], indices) }, (g) => ({
        y: gather(g.constant(table), g.input("indices", "int64", ["n"])),
      }));
      expectClose(
        y,
        {
          shape: [indices.length, 3],
          data: Float64Array.from(indices.flatMap((row) => [...table.data.subarray(row * 3, row * 3 + 3)])),
        },
        tolerances.moved,
      );
    }
  });

  test("where takes rows from one or the other", async () => {
    const [a, b] = [random([2, 2, 3], 17), random([2, 2, 3], 18)];
    const condition = ndArray("bool", [2, 2, 1], Uint8Array.of(1, 0, 0, 1));
    const { y } = await runOnce(bench.backend, { condition, a, b }, (g) => ({
      y: where(
        g.input("condition", "bool", ["n", 2, 1]),
        g.input("a", "float32", ["n", 2, 3]),
        g.input("b", "float32", ["n", 2, 3]),
      ),
    }));
    expectClose(
      y,
      {
        shape: [2, 2, 3],
        data: Float64Array.from(a.data, (value, i) => (condition.data[Math.floor(i / 3)] ? value : b.data[i]!)),
      },
      tolerances.moved,
    );
  });

  test("concat, also with nothing", async () => {
    for (const past of [0, 2]) {
      const [a, b] = [random([1, past, 3], 19), random([1, 2, 3], 20)];
      const { y } = await runOnce(bench.backend, { a, b }, (g) => ({
        y: concat([g.input("a", "float32", [1, "past", 3]), g.input("b", "float32", [1, "tokens", 3])], 1, "total"),
      }));
      expectClose(y, { shape: [1, past + 2, 3], data: Float64Array.from([...a.data, ...b.data]) }, tolerances.moved);
    }
  });

  test("reshape with two sizes known at run time", async () => {
    const x = random([6, 8], 21);
    const { y } = await runOnce(bench.backend, { x, like: floats([2, 3], [0, 0, 0, 0, 0, 0]) }, (g) => {
      const like = g.input("like", "float32", ["batch", "tokens"]);
      return { y: reshape(g.input("x", "float32", ["rows", 8]), ["batch", "tokens", 2, 4]), twice: add(like, like) };
    });
    expectClose(y, { shape: [2, 3, 2, 4], data: Float64Array.from(x.data) }, tolerances.moved);
  });

  test("reshape of nothing", async () => {
    const { y } = await runOnce(bench.backend, { x: floats([0, 3, 8], []) }, (g) => ({
      y: reshape(g.input("x", "float32", ["images", 3, 8]), ["images*3", 8]),
    }));
    expect(y!.shape).toEqual([0, 8]);
  });

  test("transpose", async () => {
    const x = random([2, 3, 4], 22);
    const { y } = await runOnce(bench.backend, { x }, (g) => ({
      y: transpose(g.input("x", "float32", ["n", 3, 4]), [2, 0, 1]),
    }));
    const data = Float64Array.from(
      { length: 24 },
      (_, i) => x.data[(Math.floor(i / 3) % 2) * 12 + (i % 3) * 4 + Math.floor(i / 6)]!,
    );
    expectClose(y, { shape: [4, 2, 3], data }, tolerances.moved);
  });

  test("argMax takes the first of equals", async () => {
    const x = floats([3, 4], [1, 5, 5, 0, -1, -1, -1, -1, 0, 0, 0, 9]);
    const { y } = await runOnce(bench.backend, { x }, (g) => ({ y: argMax(g.input("x", "float32", ["n", 4])) }));
    expect(y).toEqual(int64([3, 1], [1, 0, 3]));
  });

  test("cast between numbers", async () => {
    const x = floats([4], [1.75, -2.5, 0, 100]);
    const host = await runOnce(bench.backend, { x }, (g) => {
      const value = g.input("x", "float32", ["n"]);
      return {
        whole: cast(value, "int64"),
        small: cast(value, "int32"),
        same: cast(cast(value, "float16"), "float32"),
      };
    });
    expect(host["whole"]).toEqual(int64([4], [1, -2, 0, 100]));
    expect(host["small"]).toEqual(ndArray("int32", [4], Int32Array.of(1, -2, 0, 100)));
    expectClose(host["same"], exact(x), 0);
  });
}
