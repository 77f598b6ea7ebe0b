import { createNodeBackend } from "@paligemma/backend-node";
import { ndArray } from "@paligemma/core";
import { add, buildGraph, concat } from "@paligemma/graph";
import { expect, test } from "vitest";

test("adds", async () => {
  await using backend = await createNodeBackend();
  const model = buildGraph("sum", backend.target, (g) => {
    const a = g.input("a", "float32", ["n"]);
    const p = g.input("past", "float32", ["past", 2]);
    const r = g.input("new", "float32", ["tokens", 2]);
    return { sum: add(a, a), joined: concat([p, r], 0), fresh: r };
  });
  await using session = await backend.compile(model);
  const cache = await backend.allocate("float32", [4, 2]);
  const out = await session.run(
    { a: ndArray("float32", [2], Float32Array.of(1, 2)), past: cache.rows(0, 0), new: ndArray("float32", [2, 2], Float32Array.of(1, 2, 3, 4)) },
    { host: ["sum"], device: ["joined"], into: { fresh: cache.rows(1, 3) } },
  );
  expect([...out.host["sum"]!.data]).toEqual([2, 4]);
  expect([...(await backend.download(cache)).data]).toEqual([0, 0, 1, 2, 3, 4, 0, 0]);
  expect((await backend.download(out.device["joined"]!)).shape).toEqual([2, 2]);
});
