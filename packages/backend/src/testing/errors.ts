import { ndArray } from "@paligemma/core";
import { add, buildGraph } from "@paligemma/graph";
import { expect } from "vitest";
import { floats, int64 } from "./arrays.ts";
import { doubling, expectCode, type Bench } from "./bench.ts";

/** Misuse: each mistake has its code, and leaves backend and session usable. */
export function errorTests(bench: Bench): void {
  const { test } = bench;
  const x = floats([2], [1, 2]);

  test("feeds that do not fit the graph", async () => {
    const model = buildGraph("fed", bench.backend.target, (g) => ({
      y: add(g.input("a", "float32", ["n", 2]), g.input("b", "float32", ["n", 2])),
    }));
    await using session = await bench.backend.compile(model);
    const a = floats([1, 2], [1, 2]);
    const host = { host: ["y"] };
    const missing = await expectCode("backend/feeds", () => session.run({ a }, host));
    expect(missing.message).toContain("b is missing");
    await expectCode("backend/feeds", () => session.run({ a, b: a, c: a }, host));
    await expectCode("backend/feeds", () => session.run({ a, b: int64([1, 2], [1, 2]) }, host));
    await expectCode("backend/feeds", () => session.run({ a, b: floats([2], [1, 2]) }, host));
    await expectCode("backend/feeds", () => session.run({ a, b: floats([1, 3], [1, 2, 3]) }, host));
    const unequal = await expectCode("backend/feeds", () => session.run({ a, b: floats([2, 2], [1, 2, 3, 4]) }, host));
    expect(unequal.message).toContain("n is 1 in a and 2 in b");
    await expectCode("backend/shape", () =>
      session.run({ a, b: { dtype: "float32", shape: [1, 2], data: new Float32Array(3) } }, host),
    );
    expect((await session.run({ a, b: a }, host)).host).toEqual({ y: floats([1, 2], [2, 4]) });
  });

  test("outputs that the graph does not have, or not so", async () => {
    await using session = await bench.backend.compile(doubling(bench.backend.target));
    await expectCode("backend/outputs", () => session.run({ x }, {}));
    await expectCode("backend/option", () => session.run({ x }, { host: ["y"], hosts: ["y"] } as object));
    await expectCode("backend/option", () =>
      bench.backend.compile(doubling(bench.backend.target), { onprogress: () => undefined } as object),
    );
    await expectCode("backend/outputs", () => session.run({ x }, { host: ["z"] }));
    await expectCode("backend/outputs", () => session.run({ x }, { host: ["y"], device: ["y"] }));
    using long = await bench.backend.allocate("float32", [3]);
    using whole = await bench.backend.allocate("int32", [2]);
    using deep = await bench.backend.allocate("float32", [2, 1]);
    await expectCode("backend/outputs", () => session.run({ x }, { into: { y: long } }));
    await expectCode("backend/outputs", () => session.run({ x }, { into: { y: whole } }));
    await expectCode("backend/outputs", () => session.run({ x }, { into: { y: deep } }));
  });

  test("arrays and shapes that are none", async () => {
    await expectCode("backend/shape", () =>
      bench.backend.upload({ dtype: "float32", shape: [3], data: new Float32Array(2) }),
    );
    for (const shape of [[-1], [1.5], [Number.NaN], [2 ** 40, 2 ** 40]])
      await expectCode("backend/shape", () => bench.backend.allocate("float32", shape));
  });

  test("more memory than there is", async () => {
    await expectCode("backend/memory", () => bench.backend.allocate("float32", [2 ** 45]));
    using small = await bench.backend.allocate("float32", [1]);
    expect(small.shape).toEqual([1]);
  });

  test("a graph that the runtime refuses", async () => {
    const model = buildGraph("strange", bench.backend.target, (g) => {
      const value = g.input("x", "float32", ["n"]);
      return { y: g.node({ op: "NoSuchOperator", inputs: [value], outputs: [value] })[0]! };
    });
    const error = await expectCode("backend/compile", () => bench.backend.compile(model));
    expect(String(error.cause)).toContain("NoSuchOperator");
    expect(error.message).toContain("strange");
  });

  test("a run that the runtime refuses", async () => {
    // The graph's claim about its inputs is too weak for the check before the run to see that 2 and 3 do not fit.
    const model = buildGraph("unequal", bench.backend.target, (g) => {
      const [a, b] = [g.input("a", "float32", ["n"]), g.input("b", "float32", ["m"])];
      return { y: g.node({ op: "Add", inputs: [a, b], outputs: [a] })[0]! };
    });
    await using session = await bench.backend.compile(model);
    const error = await expectCode("backend/run", () =>
      session.run({ a: x, b: floats([3], [1, 2, 3]) }, { host: ["y"] }),
    );
    expect(error.cause).toBeInstanceOf(Error);
    expect((await session.run({ a: x, b: x }, { host: ["y"] })).host).toEqual({ y: floats([2], [2, 4]) });
  });

  test("an output that turns out not to fit its tensor", async () => {
    const model = buildGraph("late", bench.backend.target, (g) => {
      const [a, b] = [g.input("a", "float32", ["n"]), g.input("b", "float32", ["m"])];
      return {
        y: g.node({
          op: "Concat",
          inputs: [a, b],
          attributes: { axis: { int: 0 } },
          outputs: [{ dtype: "float32", shape: ["n+m"] }],
        })[0]!,
      };
    });
    await using session = await bench.backend.compile(model);
    using target = await bench.backend.allocate("float32", [3]);
    await expectCode("backend/run", () => session.run({ a: x, b: x }, { into: { y: target } }));
    await session.run({ a: x, b: floats([1], [3]) }, { into: { y: target } });
    expect(await bench.backend.download(target)).toEqual(floats([3], [1, 2, 3]));
  });

  test("use after dispose: tensors and windows", async () => {
    await using session = await bench.backend.compile(doubling(bench.backend.target));
    const tensor = await bench.backend.upload(x);
    using other = await bench.backend.upload(x);
    const window = tensor.rows(0, 2);
    tensor.dispose();
    tensor.dispose();
    for (const gone of [tensor, window]) {
      await expectCode("backend/disposed", () => gone.rows(0, 1));
      await expectCode("backend/disposed", () => bench.backend.download(gone));
      await expectCode("backend/disposed", () => bench.backend.copy(gone, other));
      await expectCode("backend/disposed", () => bench.backend.copy(other, gone));
      await expectCode("backend/disposed", () => session.run({ x: gone }, { host: ["y"] }));
      await expectCode("backend/disposed", () => session.run({ x }, { into: { y: gone } }));
    }
  });

  test("a tensor may be disposed once its last run was asked for", async () => {
    await using session = await bench.backend.compile(doubling(bench.backend.target));
    const tensor = await bench.backend.upload(x);
    const run = session.run({ x: tensor }, { host: ["y"] });
    tensor.dispose();
    expect((await run).host).toEqual({ y: floats([2], [2, 4]) });
  });

  test("use after dispose: sessions", async () => {
    const session = await bench.backend.compile(doubling(bench.backend.target));
    const last = session.run({ x }, { host: ["y"] });
    await session.dispose();
    await session.dispose();
    expect((await last).host).toEqual({ y: floats([2], [2, 4]) });
    await expectCode("backend/disposed", () => session.run({ x }, { host: ["y"] }));
  });

  test("use after dispose: backends", async () => {
    const backend = await bench.create();
    const session = await backend.compile(doubling(backend.target));
    const tensor = await backend.upload(x);
    const waiting = expectCode("backend/disposed", () => session.run({ x }, { host: ["y"] }));
    await backend.dispose();
    await backend.dispose();
    await waiting;
    await expectCode("backend/disposed", () => session.run({ x }, { host: ["y"] }));
    await expectCode("backend/disposed", () => backend.compile(doubling(backend.target)));
    await expectCode("backend/disposed", () => backend.allocate("float32", [1]));
    await expectCode("backend/disposed", () => backend.upload(x));
    await expectCode("backend/disposed", () => backend.download(tensor));
    await expectCode("backend/disposed", () => tensor.rows(0, 1));
    tensor.dispose();
    await session.dispose();
  });

  test("tensors of another backend", async () => {
    await using other = await bench.create();
    using foreign = await other.upload(x);
    using own = await bench.backend.upload(x);
    await using session = await bench.backend.compile(doubling(bench.backend.target));
    await expectCode("backend/foreign", () => bench.backend.download(foreign));
    await expectCode("backend/foreign", () => bench.backend.copy(foreign, own));
    await expectCode("backend/foreign", () => session.run({ x: foreign }, { host: ["y"] }));
    await expectCode("backend/foreign", () => session.run({ x }, { into: { y: foreign } }));
    expect(await other.download(foreign)).toEqual(ndArray("float32", [2], x.data));
  });
}
