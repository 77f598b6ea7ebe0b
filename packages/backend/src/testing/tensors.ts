import { DTYPES, allocate, bytesFor, ndArray, sizeOf, type DType, type NdArray } from "@paligemma/core";
import { add, buildGraph, concat, where } from "@paligemma/graph";
import { expect } from "vitest";
import { floats } from "./arrays.ts";
import { doubling, expectCode, type Bench } from "./bench.ts";

/** An array whose bytes are 1, 2, 3, …; bool gets zeros and ones. */
function counting(dtype: DType, shape: readonly number[]): NdArray {
  const data = allocate(dtype, sizeOf(shape));
  const bytes = new Uint8Array(data.buffer);
  bytes.forEach((_, i) => (bytes[i] = dtype === "bool" ? i % 2 : i + 1));
  return { dtype, shape, data };
}

/** Tensors: what is put in comes out, windows share memory, outputs go where they are told. */
export function tensorTests(bench: Bench): void {
  const { test } = bench;

  for (const dtype of DTYPES) {
    test(`${dtype}: what is uploaded comes back`, async () => {
      for (const shape of [[2, 3, 2], [], [0, 4]]) {
        const array = counting(dtype, shape);
        using tensor = await bench.backend.upload(array);
        expect([tensor.dtype, tensor.shape]).toEqual([dtype, shape]);
        expect(await bench.backend.download(tensor)).toEqual(array);
      }
      using zeros = await bench.backend.allocate(dtype, [2, 4]);
      const { data } = await bench.backend.download(zeros);
      expect(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)).toEqual(new Uint8Array(bytesFor(dtype, 8)));
    });
  }

  test("uploading copies: later changes of the array do not show, and the array stays usable", async () => {
    const array = floats([2], [1, 2]);
    using tensor = await bench.backend.upload(array);
    array.data[0] = 9;
    expect(await bench.backend.download(tensor)).toEqual(floats([2], [1, 2]));
    const part = ndArray("float32", [2], new Float32Array(8).fill(3).subarray(1, 3));
    using other = await bench.backend.upload(part);
    expect(await bench.backend.download(other)).toEqual(floats([2], [3, 3]));
  });

  test("rows are windows on the same memory", async () => {
    using tensor = await bench.backend.upload(floats([4, 2], [0, 1, 2, 3, 4, 5, 6, 7]));
    const middle = tensor.rows(1, 3);
    expect(middle.shape).toEqual([2, 2]);
    expect(await bench.backend.download(middle)).toEqual(floats([2, 2], [2, 3, 4, 5]));
    expect(await bench.backend.download(middle.rows(1, 2))).toEqual(floats([1, 2], [4, 5]));
    expect((await bench.backend.download(tensor.rows(4, 4))).shape).toEqual([0, 2]);
    using row = await bench.backend.upload(floats([1, 2], [-1, -2]));
    await bench.backend.copy(row, middle.rows(0, 1));
    expect(await bench.backend.download(tensor)).toEqual(floats([4, 2], [0, 1, -1, -2, 4, 5, 6, 7]));
    middle.dispose();
    expect((await bench.backend.download(middle)).shape).toEqual([2, 2]);
  });

  test("rows outside the tensor are refused", async () => {
    using tensor = await bench.backend.allocate("float32", [4, 2]);
    for (const [start, end] of [
      [-1, 2],
      [0, 5],
      [3, 2],
      [0.5, 2],
      [0, Number.NaN],
    ] as const)
      await expectCode("backend/range", () => tensor.rows(start, end));
    using scalar = await bench.backend.allocate("float32", []);
    await expectCode("backend/range", () => scalar.rows(0, 0));
  });

  test("copy between tensors and within one", async () => {
    using a = await bench.backend.upload(floats([4], [1, 2, 3, 4]));
    using b = await bench.backend.allocate("float32", [4]);
    await bench.backend.copy(a, b);
    await bench.backend.copy(a.rows(0, 2), a.rows(2, 4));
    expect(await bench.backend.download(a)).toEqual(floats([4], [1, 2, 1, 2]));
    expect(await bench.backend.download(b)).toEqual(floats([4], [1, 2, 3, 4]));
    await bench.backend.copy(a.rows(1, 1), b.rows(4, 4));
    await expectCode("backend/overlap", () => bench.backend.copy(a.rows(0, 3), a.rows(1, 4)));
    await expectCode("backend/shape", () => bench.backend.copy(a, b.rows(0, 3)));
    using whole = await bench.backend.allocate("int32", [4]);
    await expectCode("backend/shape", () => bench.backend.copy(a, whole));
  });

  test("outputs go to the host, to the device and into tensors, and nowhere unasked", async () => {
    const model = buildGraph("routes", bench.backend.target, (g) => {
      const x = g.input("x", "float32", ["n", 2]);
      const twice = add(x, x);
      return { host: twice, device: add(twice, x), into: add(twice, twice), unasked: x };
    });
    await using session = await bench.backend.compile(model);
    using cache = await bench.backend.allocate("float32", [3, 2]);
    const result = await session.run(
      { x: floats([1, 2], [1, 2]) },
      { host: ["host"], device: ["device"], into: { into: cache.rows(1, 2) } },
    );
    expect(result.host).toEqual({ host: floats([1, 2], [2, 4]) });
    expect(Object.keys(result.device)).toEqual(["device"]);
    using kept = result.device["device"]!;
    expect([kept.dtype, kept.shape]).toEqual(["float32", [1, 2]]);
    expect(await bench.backend.download(kept)).toEqual(floats([1, 2], [3, 6]));
    expect(await bench.backend.download(cache)).toEqual(floats([3, 2], [0, 0, 4, 8, 0, 0]));
    const again = await session.run({ x: kept }, { host: ["host"] });
    expect(again.host).toEqual({ host: floats([1, 2], [6, 12]) });
  });

  test("a cache grows row by row, from none", async () => {
    const model = buildGraph("cache", bench.backend.target, (g) => {
      const [past, fresh] = [g.input("past", "float32", ["past", 2]), g.input("fresh", "float32", ["tokens", 2])];
      return { present: add(fresh, fresh), all: concat([past, add(fresh, fresh)], 0, "total") };
    });
    await using session = await bench.backend.compile(model);
    using cache = await bench.backend.allocate("float32", [6, 2]);
    let length = 0;
    for (const tokens of [2, 1, 0, 3]) {
      const fresh = floats(
        [tokens, 2],
        Array.from({ length: tokens * 2 }, (_, i) => length * 2 + i),
      );
      const { host } = await session.run(
        { past: cache.rows(0, length), fresh },
        { host: ["all"], into: { present: cache.rows(length, length + tokens) } },
      );
      length += tokens;
      const expected = floats(
        [length, 2],
        Array.from({ length: length * 2 }, (_, i) => i * 2),
      );
      expect(host["all"]).toEqual(expected);
      expect(await bench.backend.download(cache.rows(0, length))).toEqual(expected);
    }
  });

  const numbers = [
    ndArray("float32", [3], Float32Array.of(0, 1, -2)),
    ndArray("int32", [3], Int32Array.of(0, 1, -2)),
    ndArray("int64", [3], BigInt64Array.of(0n, 1n, -2n)),
  ];
  for (const x of numbers) {
    test(`${x.dtype} through a graph`, async () => {
      await using session = await bench.backend.compile(doubling(bench.backend.target, x.dtype));
      const { host } = await session.run({ x }, { host: ["y"] });
      expect([host["y"]!.dtype, Array.from(host["y"]!.data, Number)]).toEqual([x.dtype, [0, 2, -4]]);
    });
  }

  test("bool through a graph", async () => {
    const model = buildGraph("choice", bench.backend.target, (g) => {
      const a = g.input("a", "float32", ["n"]);
      const condition = g.input("condition", "bool", ["n"]);
      return {
        y: where(condition, a, add(a, a)),
        not: g.node({ op: "Not", inputs: [condition], outputs: [condition] })[0]!,
      };
    });
    await using session = await bench.backend.compile(model);
    const { host } = await session.run(
      { a: floats([2], [1, 2]), condition: ndArray("bool", [2], Uint8Array.of(1, 0)) },
      { host: ["y", "not"] },
    );
    expect(host).toEqual({ y: floats([2], [1, 4]), not: ndArray("bool", [2], Uint8Array.of(0, 1)) });
  });

  test("an output that is an input is a copy", async () => {
    const model = buildGraph("identity", bench.backend.target, (g) => {
      const x = g.input("x", "float32", ["n"]);
      return { here: x, there: x };
    });
    await using session = await bench.backend.compile(model);
    using x = await bench.backend.upload(floats([3], [1, 2, 3]));
    const { host, device } = await session.run({ x }, { host: ["here"], device: ["there"] });
    using there = device["there"]!;
    await bench.backend.copy(x.rows(0, 1), x.rows(2, 3));
    expect(host).toEqual({ here: floats([3], [1, 2, 3]) });
    expect(await bench.backend.download(there)).toEqual(floats([3], [1, 2, 3]));
    expect(await bench.backend.download(x)).toEqual(floats([3], [1, 2, 1]));
  });

  test("feeding an array leaves it as it was", async () => {
    await using session = await bench.backend.compile(doubling(bench.backend.target));
    const big = new Float32Array(64).fill(1);
    const x = ndArray("float32", [3], big.subarray(5, 8));
    for (let i = 0; i < 2; i++)
      expect((await session.run({ x }, { host: ["y"] })).host).toEqual({ y: floats([3], [2, 2, 2]) });
    expect(big.length).toBe(64);
  });
}
