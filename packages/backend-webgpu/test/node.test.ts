import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { buildGraph, matMul } from "@paligemma/graph";
import { expect, test } from "vitest";

test("the device wasm runs in Node as well", async () => {
  await using backend = await createWebGpuBackend({ device: "wasm" });
  const model = buildGraph("square", backend.target, (g) => {
    const x = g.input("x", "float32", ["n", "n"]);
    return { y: matMul(x, x) };
  });
  await using session = await backend.compile(model);
  const x = { dtype: "float32", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) } as const;
  const { host } = await session.run({ x }, { host: ["y"] });
  expect([...host["y"]!.data]).toEqual([7, 10, 15, 22]);
  expect(backend.name).toContain("on wasm");
});

test("a GPU that Node does not have is an error, not another device", async () => {
  await expect(createWebGpuBackend()).rejects.toMatchObject({ code: "backend/unavailable" });
});
