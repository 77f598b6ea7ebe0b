import { add, buildGraph, matMul, scalar, sub, mul } from "@paligemma/graph";
import { expect } from "vitest";
import type { RunOptions, Tensor } from "../backend.ts";
import { floats, random } from "./arrays.ts";
import { doubling, expectCode, type Bench } from "./bench.ts";

/** Runs: in the order asked for, abortable, and of several graphs at once. */
export function runTests(bench: Bench): void {
  const { test } = bench;

  test("runs happen in the order asked for", async () => {
    const model = buildGraph("step", bench.backend.target, (g) => {
      const x = g.input("x", "float32", [1]);
      return { y: add(add(x, x), g.input("n", "float32", [1])) };
    });
    await using session = await bench.backend.compile(model);
    using a = await bench.backend.allocate("float32", [1]);
    using b = await bench.backend.allocate("float32", [1]);
    const digits = [1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0];
    await Promise.all(
      digits.map((digit, i) =>
        session.run({ x: i % 2 ? b : a, n: floats([1], [digit]) }, { into: { y: i % 2 ? a : b } }),
      ),
    );
    expect((await bench.backend.download(a)).data[0]).toBe(Number.parseInt(digits.join(""), 2));
  });

  test("runs that wait in line are fed by those before, and left out by what they find", async () => {
    await using session = await bench.backend.compile(doubling(bench.backend.target));
    using values = await bench.backend.upload(floats([2], [1, 0]));
    const [even, odd] = [values.rows(0, 1), values.rows(1, 2)];
    const unless = (tensor: Tensor): RunOptions["unless"] & {} => ({ tensor, values: [5, 8] });
    if (bench.backend.runsAhead !== true) {
      await expectCode("backend/option", async () =>
        session.run({ x: even }, { into: { y: odd }, unless: unless(even) }),
      );
      return;
    }
    const results = await Promise.all(
      Array.from({ length: 6 }, (_, i) => {
        const [x, y] = i % 2 ? [odd, even] : [even, odd];
        return session.run({ x }, { host: ["y"], into: { y }, unless: unless(x) });
      }),
    );
    expect(results.map(({ host, skipped }) => host["y"]?.data[0] ?? (skipped && "skipped"))).toEqual([
      2,
      4,
      8,
      "skipped",
      8,
      "skipped",
    ]);
    // What is brought to the caller is a copy.
    results[4]!.host["y"]!.data[0] = 99;
    expect(await bench.backend.download(values)).toEqual(floats([2], [4, 8]));
  });

  test("an abort before the run rejects with its reason, and nothing is run", async () => {
    await using session = await bench.backend.compile(doubling(bench.backend.target));
    using target = await bench.backend.allocate("float32", [1]);
    const reason = new Error("enough");
    const run = session.run({ x: floats([1], [1]) }, { into: { y: target }, signal: AbortSignal.abort(reason) });
    await expect(run).rejects.toBe(reason);
    expect(await bench.backend.download(target)).toEqual(floats([1], [0]));
  });

  test("an abort during the run rejects with its reason, and the session goes on", async () => {
    const model = buildGraph("long", bench.backend.target, (g) => {
      const x = g.input("x", "float32", ["n", "n"]);
      return { y: matMul(matMul(x, x), x) };
    });
    await using session = await bench.backend.compile(model);
    const x = random([400, 400], 1);
    const before = await session.run({ x }, { host: ["y"] });
    const controller = new AbortController();
    const reason = new Error("enough");
    const runs = Array.from({ length: 4 }, () =>
      session.run({ x }, { host: ["y"], device: [], signal: controller.signal }),
    );
    controller.abort(reason);
    for (const run of await Promise.allSettled(runs)) expect(run).toEqual({ status: "rejected", reason });
    const after = await session.run({ x }, { host: ["y"] });
    expect(after.host["y"]).toEqual(before.host["y"]);
  });

  test("an abort after the run changes nothing", async () => {
    await using session = await bench.backend.compile(doubling(bench.backend.target));
    const controller = new AbortController();
    const { host } = await session.run({ x: floats([1], [1]) }, { host: ["y"], signal: controller.signal });
    controller.abort();
    expect(host).toEqual({ y: floats([1], [2]) });
  });

  test("an aborted compile rejects with its reason", async () => {
    const reason = new Error("enough");
    await expect(
      (async () => bench.backend.compile(doubling(bench.backend.target), { signal: AbortSignal.abort(reason) }))(),
    ).rejects.toBe(reason);
    const controller = new AbortController();
    const compile = bench.backend.compile(doubling(bench.backend.target), { signal: controller.signal });
    controller.abort(reason);
    await expect(compile).rejects.toBe(reason);
  });

  test("several graphs at once", async () => {
    const models = [1, 2, 3].map((factor) =>
      buildGraph(`times ${factor}`, bench.backend.target, (g) => {
        const x = g.input("x", "float32", ["n"]);
        return { y: mul(sub(x, scalar(g, 1, "float32")), scalar(g, factor, "float32")) };
      }),
    );
    const sessions = await Promise.all(models.map((model) => bench.backend.compile(model)));
    const results = await Promise.all(
      sessions.map((session) => session.run({ x: floats([2], [1, 3]) }, { host: ["y"] })),
    );
    expect(results.map(({ host }) => [...host["y"]!.data])).toEqual([
      [0, 2],
      [0, 4],
      [0, 6],
    ]);
    await Promise.all(sessions.map((session) => session.dispose()));
  });

  test("compiling reports progress that ends", async () => {
    const seen: number[] = [];
    await using session = await bench.backend.compile(doubling(bench.backend.target), {
      onProgress: ({ done, total }) => seen.push(done / (total ?? Infinity)),
    });
    expect(session.model.name).toBe("doubling");
    expect(seen.at(-1)).toBe(1);
  });
}
