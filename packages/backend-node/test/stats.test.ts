import { createNodeBackend } from "@paligemma/backend-node";
import type { NdArray } from "@paligemma/core";
import { buildGraph, matMul } from "@paligemma/graph";
import { expect, test } from "vitest";

const x: NdArray = { dtype: "float32", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) };

test("a backend counts its tensors, their bytes and its sessions", async () => {
  await using backend = await createNodeBackend({ threads: 1 });
  const nothing = { tensors: 0, tensorBytes: 0, sessions: 0 };
  expect(await backend.stats()).toEqual({
    ...nothing,
    runMilliseconds: expect.any(Number) as number,
    unpackMilliseconds: 0,
    unpackings: 0,
  });
  const zeros = await backend.allocate("float16", [3]);
  const uploaded = await backend.upload(x);
  expect(await backend.stats()).toMatchObject({ tensors: 2, tensorBytes: 22, sessions: 0 });
  const session = await backend.compile(
    buildGraph("square", backend.target, (g) => {
      const value = g.input("x", "float32", [2, 2]);
      return { y: matMul(value, value) };
    }),
  );
  const before = await backend.stats();
  const { device } = await session.run({ x: uploaded }, { device: ["y"] });
  expect((await backend.stats()).runMilliseconds).toBeGreaterThan(before.runMilliseconds);
  const window = uploaded.rows(0, 1);
  expect(await backend.stats()).toMatchObject({ tensors: 3, tensorBytes: 38, sessions: 1 });
  // A run that was aborted leaves nothing.
  const aborting = new AbortController();
  const aborted = session.run({ x: uploaded }, { device: ["y"], signal: aborting.signal });
  aborting.abort(new Error("enough"));
  await expect(aborted).rejects.toThrow("enough");
  expect((await backend.stats()).tensors).toBe(3);
  for (const tensor of [window, uploaded, uploaded, zeros, device["y"]!]) tensor.dispose();
  await session.dispose();
  expect(await backend.stats()).toMatchObject(nothing);
});
