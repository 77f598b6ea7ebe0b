import { connectWebGpuWorker, createWebGpuBackend, type WebGpuBackend } from "@paligemma/backend-webgpu";
import { ndArray } from "@paligemma/core";
import { add, buildGraph, type GraphModel } from "@paligemma/graph";
import { afterEach, describe, expect, test, vi } from "vitest";

const x = ndArray("float32", [2], Float32Array.of(1, 2));

function doubling(backend: WebGpuBackend): GraphModel {
  return buildGraph("doubling", backend.target, (g) => {
    const value = g.input("x", "float32", ["n"]);
    return { y: add(value, value) };
  });
}

/** A backend and the device under it. */
async function withDevice(): Promise<{ backend: WebGpuBackend; device: GPUDevice }> {
  const request = vi.spyOn(GPUAdapter.prototype, "requestDevice");
  const backend = await createWebGpuBackend();
  const device = (await request.mock.results[0]!.value) as GPUDevice;
  request.mockRestore();
  return { backend, device };
}

describe("a device that is lost", () => {
  test("what runs and what comes later is told so; a new backend works", async () => {
    const { backend, device } = await withDevice();
    const session = await backend.compile(doubling(backend));
    const tensor = await backend.upload(x);
    await session.run({ x }, { host: ["y"] });
    const running = session.run({ x }, { host: ["y"] });
    device.destroy();
    const lost = { code: "backend/device-lost" };
    await expect(running).rejects.toMatchObject(lost);
    await expect(session.run({ x }, { host: ["y"] })).rejects.toMatchObject(lost);
    await expect(backend.compile(doubling(backend))).rejects.toMatchObject(lost);
    await expect(backend.download(tensor)).rejects.toMatchObject(lost);
    await expect(backend.allocate("float32", [4])).rejects.toMatchObject(lost);
    tensor.dispose();
    await session.dispose();
    await backend.dispose();

    await using again = await createWebGpuBackend();
    await using next = await again.compile(doubling(again));
    expect([...(await next.run({ x }, { host: ["y"] })).host["y"]!.data]).toEqual([2, 4]);
  });
});

describe("a GPU that is missing", () => {
  afterEach(() => vi.restoreAllMocks());

  test("no adapter: says so, and how to go on", async () => {
    vi.spyOn(navigator.gpu, "requestAdapter").mockResolvedValue(null);
    const failure = await createWebGpuBackend().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "backend/unavailable" });
    expect(String(failure)).toContain('"wasm"');
  });

  test("no WebGPU: says so", async () => {
    vi.spyOn(navigator, "gpu", "get").mockReturnValue(undefined as unknown as GPU);
    await expect(createWebGpuBackend()).rejects.toMatchObject({ code: "backend/unavailable" });
  });

  test("a device that cannot be opened: says why", async () => {
    vi.spyOn(GPUAdapter.prototype, "requestDevice").mockRejectedValue(new Error("too many devices"));
    await expect(createWebGpuBackend()).rejects.toThrow("too many devices");
  });
});

describe("a worker", () => {
  test("whose script is missing is an error, not a wait", async () => {
    const worker = new Worker(new URL("no-such-worker.js", import.meta.url), { type: "module" });
    await expect(connectWebGpuWorker(worker)).rejects.toMatchObject({ code: "backend/worker" });
  });

  test("hands on what went wrong when the backend was made", async () => {
    const worker = new Worker(new URL("worker.ts", import.meta.url), { type: "module" });
    await expect(
      connectWebGpuWorker(worker, { device: "wasm", runtime: "jspi", power: "loud" } as object),
    ).rejects.toMatchObject({ code: "backend/option" });
  });
});
