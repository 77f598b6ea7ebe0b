import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { fromFloat32, ndArray, toFloat32, type NdArray } from "@paligemma/core";
import { buildGraph, multiplyTransposed } from "@paligemma/graph";
import { expect, test } from "vitest";

const filled = (shape: readonly [number, number] | readonly [number], value: number): NdArray =>
  fromFloat32(ndArray("float32", shape, new Float32Array(shape[0] * (shape[1] ?? 1)).fill(value)), "float16");

// Widths of four, of single numbers, and of both: the runtime has a shader for each.
test.each([
  [1, 16_384, 64],
  [5, 16_384, 33],
  [40, 4097, 64],
  [3, 4097, 7],
])("a linear layer in half precision counts right: %i rows of %i ones, %i times", async (rows, width, out) => {
  await using backend = await createWebGpuBackend({ precision: "float16" });
  const model = buildGraph("count", backend.target, (g) => {
    const x = g.input("x", "float16", [rows, width]);
    const w = g.input("w", "float16", [out, width]);
    return { plain: multiplyTransposed(x, w), biased: multiplyTransposed(x, w, g.input("b", "float16", [out])) };
  });
  await using session = await backend.compile(model);
  const feeds = { x: filled([rows, width], 1), w: filled([out, width], 1), b: filled([out], -width + 1) };
  const { host } = await session.run(feeds, { host: ["plain", "biased"] });
  const sum = toFloat32(filled([1], width)).data[0];
  expect(new Set(toFloat32(host["plain"]!).data)).toEqual(new Set([sum]));
  const bias = toFloat32(feeds.b).data[0]!;
  expect(new Set(toFloat32(host["biased"]!).data)).toEqual(new Set([sum! + bias]));
});
