import type { Backend } from "@paligemma/backend";
import { WASM, WEBGPU, add, buildGraph, type GraphModel, type Target } from "@paligemma/graph";
import { GpuBackend } from "./gpu/backend.ts";
import { openDevice } from "./gpu/device.ts";
import { checkOptions, type WebGpuOptions } from "./options.ts";
import { loadRuntime, pickBuild } from "./runtime.ts";
import { selfCheck } from "./self-check.ts";
import type { BackendStats } from "./stats.ts";
import { WasmBackend } from "./wasm/backend.ts";

/** A backend of a browser. */
export interface WebGpuBackend extends Backend {
  /** What it has done so far. */
  stats(): Promise<BackendStats>;
}

/** The GPU with arithmetic in half precision. */
const WEBGPU_HALF: Target = { ...WEBGPU, compute: "float16", stored: new Set(["float32", "float16"] as const) };

function firstGraph(target: Target): GraphModel {
  return buildGraph("first", target, (g) => {
    const x = g.input("x", target.compute, ["n"]);
    return { y: add(x, x) };
  });
}

/**
 * Opens a GPU (or the processor, where `device: "wasm"` asks for it) in this thread. Throws `backend/unavailable` with the
 * reason and the remedy, `backend/self-check` when half precision gives wrong numbers, `backend/option` for options that
 * do not exist. The caller disposes the backend.
 */
export async function createWebGpuBackend(options?: WebGpuOptions): Promise<WebGpuBackend> {
  const checked = checkOptions(options);
  if (checked.device === "wasm") return new WasmBackend(await loadRuntime("wasm"), WASM);
  const opened = await openDevice(checked);
  try {
    const runtime = await loadRuntime(pickBuild(checked.runtime));
    const half = checked.precision === "float16";
    const backend = new GpuBackend(runtime, opened, half ? WEBGPU_HALF : WEBGPU, checked);
    // Fetches and starts the runtime's WebAssembly now: whoever calls reads a model meanwhile.
    await (await backend.compile(firstGraph(backend.target))).dispose();
    if (half) await selfCheck(backend);
    return backend;
  } catch (error) {
    opened.device.destroy();
    throw error;
  }
}
