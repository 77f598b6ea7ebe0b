import { createWebGpuBackend, type WebGpuBackend } from "@paligemma/backend-webgpu";
import { ndArray, type NdArray } from "@paligemma/core";
import { add, argMax, buildGraph, checkpointWeights, concat, linear, type GraphModel } from "@paligemma/graph";
import type { Checkpoint, TensorRef } from "@paligemma/weights";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

let backend: WebGpuBackend;
beforeAll(async () => {
  backend = await createWebGpuBackend();
});
afterAll(() => backend.dispose());

const floats = (shape: number[], fill: (i: number) => number): NdArray<"float32"> =>
  ndArray(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => fill(i)),
  );

/** What `work` adds to a counter of the backend. */
async function counted(work: () => Promise<unknown>): Promise<{ created: number; read: number; written: number }> {
  const before = await backend.stats();
  await work();
  const after = await backend.stats();
  return {
    created: after.buffersCreated - before.buffersCreated,
    read: after.bytesFromDevice - before.bytesFromDevice,
    written: after.bytesToDevice - before.bytesToDevice,
  };
}

describe("traffic", () => {
  test("a step moves 8 bytes per row from the GPU, and after the second makes no buffer", async () => {
    const capacity = 12;
    await using session = await backend.compile(
      buildGraph("step", backend.target, (g) => {
        const past = g.input("past", "float32", ["past", "batch", 64]);
        const x = g.input("x", "float32", ["tokens", "batch", 64]);
        return { next: argMax(concat([past, x], 0, "total")), present: add(x, x) };
      }),
    );
    for (const batch of [1, 3]) {
      using cache = await backend.allocate("float32", [capacity, batch, 64]);
      const step = (at: number): Promise<unknown> =>
        session.run(
          // The whole cache is read, so that its size does not change what the runtime needs.
          { past: cache, x: floats([1, batch, 64], (i) => (i % 64 === at ? 1 : 0)) },
          { into: { present: cache.rows(at, at + 1) } },
        );
      for (let at = 0; at < 2; at++) await step(at);
      for (let at = 2; at < capacity; at++) {
        const { created, read, written } = await counted(() => step(at));
        expect({ created, read, written }).toEqual({ created: 0, read: 0, written: batch * 64 * 4 });
      }
      expect((await backend.download(cache.rows(5, 6))).data[5]).toBe(2);
    }
  });

  test("only what is asked for comes to the host", async () => {
    await using session = await backend.compile(
      buildGraph("greedy", backend.target, (g) => {
        const logits = g.input("x", "float32", ["rows", 1000]);
        return { logits: add(logits, logits), next: argMax(logits) };
      }),
    );
    for (const rows of [1, 4]) {
      const x = floats([rows, 1000], (i) => (i % 1000 === 7 + Math.floor(i / 1000) ? 1 : 0));
      let next: unknown;
      const { read } = await counted(async () => {
        next = (await session.run({ x }, { host: ["next"] })).host["next"]!.data;
      });
      expect(read).toBe(8 * rows);
      expect(next).toEqual(BigInt64Array.from({ length: rows }, (_, row) => BigInt(7 + row)));
    }
  });
});

/** A checkpoint of one [64, width] weight per name, all in one file that counts how it is read. */
function checkpoint(names: readonly string[], width: number): { checkpoint: Checkpoint; reads: [number, number][] } {
  const weight = floats([64, width], (i) => ((i * 31) % 97) / 97 - 0.5);
  const bytes = new Uint8Array(weight.data.buffer);
  const reads: [number, number][] = [];
  const source = {
    name: "counted",
    size: bytes.length * names.length,
    read(start: number, end: number) {
      reads.push([start, end]);
      return Promise.resolve(Uint8Array.from({ length: end - start }, (_, i) => bytes[(start + i) % bytes.length]!));
    },
  };
  const tensors = new Map<string, TensorRef>();
  names.forEach((name, i) => {
    const start = i * bytes.length;
    tensors.set(name, { name, dtype: "float32", shape: [64, width], source, start, end: start + bytes.length });
  });
  return { checkpoint: { tensors, metadata: {}, read: () => Promise.reject(new Error("not used")) }, reads };
}

function network(from: Checkpoint, width: number): GraphModel {
  return buildGraph("network", backend.target, (g) => {
    const x = g.input("x", "float32", ["n", width]);
    return { y: linear(x, checkpointWeights(g, from).at("a"), 64) };
  });
}

describe("weights", () => {
  test("two graphs over one file share its buffers, and the last one frees them", async () => {
    const { checkpoint: from, reads } = checkpoint(["a.weight"], 512);
    const before = (await backend.stats()).bufferBytesNow;
    const first = await backend.compile(network(from, 512));
    const loaded = (await backend.stats()).bufferBytesNow - before;
    expect(loaded).toBe(64 * 512 * 4);
    const second = await backend.compile(network(from, 512));
    expect((await backend.stats()).bufferBytesNow - before).toBe(loaded);
    expect(reads).toHaveLength(1);
    await first.dispose();
    const { host } = await second.run({ x: floats([1, 512], () => 1) }, { host: ["y"] });
    expect(host["y"]!.shape).toEqual([1, 64]);
    const inUse = (await backend.stats()).bufferBytesNow;
    await second.dispose();
    expect(inUse - (await backend.stats()).bufferBytesNow).toBeGreaterThanOrEqual(loaded);
  });

  test("loading holds one read and one converted part in JavaScript, and nothing of the weights in WebAssembly", async () => {
    const bytes = 64 * 2 ** 20;
    const halves = new Uint8Array(2 ** 23);
    let reads = 0;
    const source = {
      name: "zeros",
      size: bytes,
      read: (start: number, end: number) => {
        reads++;
        return Promise.resolve(halves.slice(0, end - start));
      },
    };
    const shape = [64, bytes / 2 / 64];
    const ref: TensorRef = { name: "a.weight", dtype: "bfloat16", shape, source, start: 0, end: bytes };
    const from: Checkpoint = {
      tensors: new Map([["a.weight", ref]]),
      metadata: {},
      read: () => Promise.reject(new Error("not used")),
    };
    await using fresh = await createWebGpuBackend();
    // The runtime's own start is over.
    await (await fresh.compile(network(checkpoint(["a.weight"], 512).checkpoint, 512))).dispose();
    const before = await fresh.stats();
    const session = await fresh.compile(network(from, shape[1]!));
    const after = await fresh.stats();
    expect(after.bufferBytesNow - before.bufferBytesNow).toBeGreaterThanOrEqual(2 * bytes);
    expect(reads).toBeGreaterThanOrEqual(bytes / 2 ** 23);
    // A read of 8 MiB, and a part of 4 MiB as float32.
    expect(after.stagingBytesPeak).toBeGreaterThan(0);
    expect(after.stagingBytesPeak).toBeLessThanOrEqual(16 * 2 ** 20);
    expect(after.wasmHeapBytes).toBeGreaterThan(0);
    expect(after.wasmHeapBytes - before.wasmHeapBytes).toBeLessThan(2 ** 20);
    await session.dispose();
  });

  test("a graph whose weights cannot be read leaves nothing behind, and can be compiled later", async () => {
    const { checkpoint: from } = checkpoint(["a.weight"], 256 * 33);
    const [ref] = from.tensors.values();
    let working = false;
    const source = {
      ...ref!.source,
      read: (start: number, end: number) =>
        working || start === 0 ? ref!.source.read(start, end) : Promise.reject(new Error("connection lost")),
    };
    const broken: Checkpoint = {
      ...from,
      tensors: new Map([["a.weight", { ...ref!, shape: [64, 256 * 33], source }]]),
    };
    // More than one read, of which only the first succeeds.
    const wide: Checkpoint = {
      ...broken,
      tensors: new Map([["a.weight", { ...ref!, start: 4, end: ref!.end + 4, source }]]),
    };
    const before = (await backend.stats()).bufferBytesNow;
    await expect(backend.compile(network(wide, 256 * 33))).rejects.toThrow("connection lost");
    expect((await backend.stats()).bufferBytesNow).toBe(before);
    working = true;
    await (await backend.compile(network(wide, 256 * 33))).dispose();
  });
});

describe("options", () => {
  test("what does not exist is refused with what is meant", async () => {
    await expect(createWebGpuBackend({ devise: "wasm" } as object)).rejects.toThrow("is device meant?");
    await expect(createWebGpuBackend({ precision: "float8" } as object)).rejects.toThrow("float32 or float16");
    await expect(createWebGpuBackend({ device: "wasm", precision: "float16" })).rejects.toMatchObject({
      code: "backend/option",
    });
  });

  test("float16 on a GPU that has none is refused, not replaced", async () => {
    const adapter = await navigator.gpu.requestAdapter();
    if (adapter!.features.has("shader-f16")) return;
    await expect(createWebGpuBackend({ precision: "float16" })).rejects.toMatchObject({ code: "backend/unavailable" });
  });

  test("a strict backend refuses graphs that would leave the GPU", async () => {
    await using strict = await createWebGpuBackend({ strict: true });
    const sum = buildGraph("sum", strict.target, (g) => {
      const x = g.input("x", "int64", ["n"]);
      return { y: add(x, x) };
    });
    await expect(strict.compile(sum)).rejects.toMatchObject({ code: "backend/compile" });
    const fine = buildGraph("fine", strict.target, (g) => {
      const x = g.input("x", "float32", ["n"]);
      return { y: add(x, x) };
    });
    await (await strict.compile(fine)).dispose();
  });
});
