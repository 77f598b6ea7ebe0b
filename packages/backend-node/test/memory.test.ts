import { createNodeBackend } from "@paligemma/backend-node";
import { ndArray } from "@paligemma/core";
import { add, buildGraph, type GraphModel, type Target } from "@paligemma/graph";
import { expect, test } from "vitest";

const MEGABYTE = 2 ** 20;
const one = ndArray("float32", [1], Float32Array.of(1));

/** y = x + one, for so many numbers. */
function adding(target: Target, count: number): GraphModel {
  return buildGraph("adding", target, (g) => {
    const x = g.input("x", "float32", [count]);
    return { y: add(x, g.input("one", "float32", [1])) };
  });
}

test("memory of a large tensor is given back when it is disposed, without a collection of garbage", async () => {
  await using backend = await createNodeBackend({ threads: 1 });
  const size = 256 * MEGABYTE;
  const resident = (): number => process.memoryUsage.rss();
  const tensor = await backend.upload(ndArray("uint8", [size], new Uint8Array(size).fill(1)));
  const before = resident();
  tensor.dispose();
  expect((await backend.stats()).tensors).toBe(0);
  // The worker's copy; that of the caller is the caller's.
  expect(before - resident()).toBeGreaterThan(size * 0.9);
});

test("what runs write into tensors takes no more memory than the tensors", async () => {
  await using backend = await createNodeBackend({ threads: 1 });
  const count = 8 * MEGABYTE;
  await using session = await backend.compile(adding(backend.target, count));
  using x = await backend.upload(ndArray("float32", [count], new Float32Array(count)));
  using y = await backend.allocate("float32", [count]);
  const run = async (): Promise<unknown> => await session.run({ x, one }, { into: { y } });
  await run();
  const before = process.memoryUsage.rss();
  // The runtime copies all of it each time: 32 MB.
  for (let i = 0; i < 12; i++) await run();
  expect(process.memoryUsage.rss() - before).toBeLessThan(1.5 * count * Float32Array.BYTES_PER_ELEMENT);
  expect((await backend.download(y)).data[count - 1]).toBe(1);
});

test("a tensor that is disposed while runs go on stays until they end", async () => {
  await using backend = await createNodeBackend({ threads: 1 });
  const count = 4 * MEGABYTE;
  await using session = await backend.compile(adding(backend.target, count));
  const x = await backend.upload(ndArray("float32", [count], new Float32Array(count)));
  const results = session.repeat!({ x, one }, { times: 40, host: ["y"], into: { y: x } });
  const seen: number[] = [];
  for await (const { host } of results) {
    seen.push(Number(host["y"]!.data[count - 1]));
    if (seen.length === 3) x.dispose();
  }
  expect(seen).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  expect((await backend.stats()).tensors).toBe(0);
});
