import { add, buildGraph, matMul, scalar, sub, mul, type GraphModel } from "@paligemma/graph";
import { expect } from "vitest";
import type { Feeds, RepeatOptions } from "../backend.ts";
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

  // Sums two rows of a list and writes what it makes into the next: 1, 1, 2, 3, 5, …
  const summing = (): GraphModel =>
    buildGraph("summing", bench.backend.target, (g) => {
      const x = g.input("x", "float32", [2, 1]);
      return { y: matMul(g.constant(floats([1, 2], [1, 1])), x) };
    });

  test("a repeated run finds what those before it wrote, and ends where it is told to", async () => {
    await using session = await bench.backend.compile(summing());
    if (!session.repeat) return;
    using list = await bench.backend.upload(floats([9, 1], [1, 1, 0, 0, 0, 0, 0, 0, 0]));
    const first = { x: list.rows(0, 2) };
    const options = { host: ["y"], into: { y: list.rows(2, 3) }, moves: { x: 1, y: 1 } } as const;
    const told: number[] = [];
    const repeated = session.repeat(first, { ...options, times: 7, until: { output: "y", values: [7, 13] } });
    for await (const { host } of repeated) {
      told.push(Number(host["y"]!.data[0]));
      // What is brought to the caller is a copy.
      host["y"]!.data[0] = 99;
    }
    expect(told).toEqual([2, 3, 5, 8, 13]);
    expect(await bench.backend.download(list)).toEqual(floats([9, 1], [1, 1, 2, 3, 5, 8, 13, 0, 0]));
    // All of them, and the next call of the session has its turn.
    const whole: number[] = [];
    for await (const { host } of session.repeat(first, { ...options, times: 7 }))
      whole.push(Number(host["y"]!.data[0]));
    expect(whole).toEqual([2, 3, 5, 8, 13, 21, 34]);
  });

  test("windows of several rows move by as many, and every element ends by itself", async () => {
    const model = buildGraph("doubling rows", bench.backend.target, (g) => {
      const x = g.input("x", "float32", [2, 1]);
      return { y: add(x, x) };
    });
    await using session = await bench.backend.compile(model);
    if (!session.repeat) return;
    const rows = async (until: NonNullable<RepeatOptions["until"]>): Promise<readonly number[][]> => {
      using list = await bench.backend.upload(floats([14, 1], [1, 3, ...Array.from({ length: 12 }, () => 0)]));
      const options = { times: 6, host: ["y"], into: { y: list.rows(2, 4) }, moves: { x: 2, y: 2 }, until };
      const told: number[][] = [];
      for await (const { host } of session.repeat!({ x: list.rows(0, 2) }, options))
        told.push(Array.from(host["y"]!.data, Number));
      const { data } = await bench.backend.download(list);
      expect(Array.from(data, Number).slice(2, 2 + 2 * told.length)).toEqual(told.flat());
      return told;
    };
    const all = [1, 2, 3, 4, 5, 6].map((step) => [2 ** step, 3 * 2 ** step]);
    // Each at its own time; at the same; one of them never; and any of them at once.
    expect(await rows({ output: "y", values: [4, 48] })).toEqual(all.slice(0, 4));
    expect(await rows({ output: "y", values: [8, 24] })).toEqual(all.slice(0, 3));
    expect(await rows({ output: "y", values: [4] })).toEqual(all);
    expect(await rows({ output: "y", values: [4], atOnce: [12] })).toEqual(all.slice(0, 2));
  });

  test("results that are handed over together are the same, also where they do not fill the last lot", async () => {
    await using session = await bench.backend.compile(summing());
    if (!session.repeat) return;
    const options = { times: 7, host: ["y"], moves: { x: 1, y: 1 } } as const;
    const results = async (more: Partial<RepeatOptions>): Promise<readonly number[]> => {
      using list = await bench.backend.upload(floats([9, 1], [1, 1, 0, 0, 0, 0, 0, 0, 0]));
      const told: number[] = [];
      const given = { ...options, into: { y: list.rows(2, 3) }, ...more };
      for await (const { host } of session.repeat!({ x: list.rows(0, 2) }, given))
        told.push(Number(host["y"]!.data[0]));
      return told;
    };
    for (const together of [2, 3, 7, 100]) expect(await results({ together })).toEqual([2, 3, 5, 8, 13, 21, 34]);
    expect(await results({ together: 4, until: { output: "y", values: [21] } })).toEqual([2, 3, 5, 8, 13, 21]);
    expect(await results({ together: 4, until: { output: "y", values: [3] } })).toEqual([2, 3]);
    await expectCode("backend/option", async () => results({ together: 0 }));
  });

  // What one graph makes goes through another, and from there into the first again: 3 · (x + x).
  test("a run that follows each finds what that wrote, and hands out the results", async () => {
    const { target } = bench.backend;
    const tripling = buildGraph("tripling", target, (g) => {
      const x = g.input("x", "float32", [1]);
      return { z: mul(x, scalar(g, 3, "float32")) };
    });
    await using first = await bench.backend.compile(doubling(target));
    await using second = await bench.backend.compile(tripling);
    if (!first.repeat) return;
    using between = await bench.backend.allocate("float32", [1]);
    const told = async (more: Partial<RepeatOptions>): Promise<readonly number[]> => {
      using list = await bench.backend.upload(floats([6], [1, 0, 0, 0, 0, 0]));
      const options: RepeatOptions = {
        times: 5,
        host: ["z"],
        into: { y: between },
        moves: { x: 1 },
        followedBy: { session: second, feeds: { x: between }, into: { z: list.rows(1, 2) }, moves: { z: 1 } },
        ...more,
      };
      const seen: number[] = [];
      for await (const { host } of first.repeat!({ x: list.rows(0, 1) }, options))
        seen.push(Number(host["z"]!.data[0]));
      const { data } = await bench.backend.download(list);
      expect(Array.from(data, Number).slice(1, 1 + seen.length)).toEqual(seen);
      return seen;
    };
    expect(await told({})).toEqual([6, 36, 216, 1296, 7776]);
    expect(await told({ together: 2 })).toEqual([6, 36, 216, 1296, 7776]);
    expect(await told({ until: { output: "z", values: [], atOnce: [216] } })).toEqual([6, 36, 216]);
    // Results are those of what follows, and of the same backend.
    await expectCode("backend/outputs", async () => told({ host: ["y"] }));
    await expectCode("backend/option", async () => told({ until: { output: "y", values: [] } }));
    const followedBy = { session: second, feeds: { x: between } };
    await expectCode("backend/option", async () => told({ followedBy: { ...followedBy, moves: { z: 1 } } }));
    await expectCode("backend/option", async () => told({ followedBy: { ...followedBy, times: 2 } as never }));
    await using other = await bench.create();
    await using foreign = await other.compile(tripling);
    await expectCode("backend/foreign", async () => told({ followedBy: { ...followedBy, session: foreign } }));
    const { host } = await first.run({ x: floats([1], [4]) }, { host: ["y"] });
    expect(host["y"]).toEqual(floats([1], [8]));
  });

  test("a repeated run ends when its caller goes, by return and by abort", async () => {
    await using session = await bench.backend.compile(doubling(bench.backend.target));
    if (!session.repeat) return;
    using x = await bench.backend.upload(floats([1], [1]));
    const many = { times: 100_000, host: ["y"], into: { y: x } } as const;
    for await (const { host } of session.repeat({ x }, many)) {
      expect(host["y"]).toEqual(floats([1], [2]));
      break;
    }
    const { host } = await session.run({ x }, { host: ["y"] });
    expect(Number(host["y"]!.data[0])).toBeGreaterThan(2);
    const reason = new Error("enough");
    const controller = new AbortController();
    const aborted = session.repeat({ x }, { ...many, signal: controller.signal });
    await aborted.next();
    controller.abort(reason);
    await expect(
      (async () => {
        for await (const _ of aborted);
      })(),
    ).rejects.toBe(reason);
    // Nor is anything waited for that was to be handed over together.
    const other = new AbortController();
    const held = session.repeat({ x }, { ...many, times: 1000, together: 1000, signal: other.signal }).next();
    other.abort(reason);
    await expect(held).rejects.toBe(reason);
    expect((await session.run({ x: floats([1], [3]) }, { host: ["y"] })).host["y"]).toEqual(floats([1], [6]));
  });

  test("a repeated run that would leave its tensors is refused before it begins", async () => {
    await using session = await bench.backend.compile(summing());
    if (!session.repeat) return;
    using all = await bench.backend.upload(floats([4, 1], [1, 1, 1, 1]));
    using y = await bench.backend.allocate("float32", [3, 1]);
    const x = all.rows(0, 2);
    const options = { times: 3, host: ["y"], into: { y: y.rows(0, 1) }, moves: { x: 1, y: 1 } } as const;
    const start = async (given: Feeds, how: RepeatOptions): Promise<unknown> => session.repeat!(given, how).next();
    expect(await start({ x }, options)).toMatchObject({ done: false });
    await expectCode("backend/range", async () => start({ x }, { ...options, into: { y: y.rows(1, 2) } }));
    await expectCode("backend/range", async () => start({ x: all.rows(1, 3) }, options));
    const wrong: Partial<Record<keyof RepeatOptions, unknown>>[] = [
      { times: 0 },
      { moves: { y: 1, z: 1 } },
      { moves: { x: -1 } },
      { moves: { x: 0.5 } },
      { until: { output: "x", values: [] } },
      { unless: 1 } as never,
    ];
    for (const other of wrong)
      await expectCode("backend/option", async () => start({ x }, { ...options, ...other } as never));
    await expectCode("backend/option", async () => start({ x: floats([2, 1], [1, 1]) }, options));
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
