import { PaliGemmaError } from "@paligemma/core";
import type * as Ort from "onnxruntime-common";

/** Builds of onnxruntime-web: two with the WebGPU provider, one without. */
export type Build = "jspi" | "asyncify" | "wasm";

/** onnxruntime-web as it is loaded in this thread. */
export interface Runtime {
  readonly ort: typeof Ort;
  readonly build: Build;
  readonly version: string;
  /** Runs `work` when nothing else uses the runtime: its builds do not allow two calls at once. */
  exclusive<T>(work: () => Promise<T>): Promise<T>;
  /** Size of the WebAssembly memory in bytes. */
  heapBytes(): number;
}

/** A runtime is one WebAssembly instance per thread and build, whoever loads it: that is onnxruntime-web's nature. */
const loaded = new Map<Build, Promise<Runtime>>();

/** The smaller build where the browser can suspend WebAssembly by itself. */
export function pickBuild(wanted: "auto" | "jspi" | "asyncify"): Build {
  const able = "Suspending" in WebAssembly;
  if (wanted === "auto") return able ? "jspi" : "asyncify";
  if (wanted === "jspi" && !able) {
    throw new PaliGemmaError(
      "backend/unavailable",
      'this browser cannot suspend WebAssembly, which the runtime "jspi" needs. Leave the option runtime out, and the other build is taken.',
    );
  }
  return wanted;
}

/** Loads a build, once per thread. Throws `backend/unavailable` when its files do not arrive. */
export function loadRuntime(build: Build): Promise<Runtime> {
  let runtime = loaded.get(build);
  if (!runtime) {
    runtime = load(build).catch((cause: unknown) => {
      loaded.delete(build);
      throw new PaliGemmaError(
        "backend/unavailable",
        `onnxruntime-web (${build}) could not be loaded: ${String(cause)}. Its .wasm file must be served beside the script, and the page's Content-Security-Policy must allow 'wasm-unsafe-eval'.`,
        { cause },
      );
    });
    loaded.set(build, runtime);
  }
  return runtime;
}

async function load(build: Build): Promise<Runtime> {
  const ort = await importBuild(build);
  // One thread: more need a page that is isolated by headers, which a page of static files cannot promise.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
  ort.env.logLevel = "fatal";
  const memory = captureMemory();
  let tail: Promise<unknown> = Promise.resolve();
  return {
    ort,
    build,
    version: ort.env.versions.web ?? ort.env.versions.common,
    heapBytes: () => memory()?.buffer.byteLength ?? 0,
    exclusive(work) {
      const result = tail.then(work);
      tail = result.catch(() => undefined);
      return result;
    },
  };
}

async function importBuild(build: Build): Promise<typeof Ort> {
  switch (build) {
    case "jspi":
      return await import("onnxruntime-web/jspi");
    case "asyncify":
      return await import("onnxruntime-web/webgpu");
    case "wasm":
      return await import("onnxruntime-web/wasm");
  }
}

/**
 * The next WebAssembly memory that is made with the runtime's limits (shared, up to 65 536 pages), for statistics: the
 * runtime keeps it to itself. The constructor is put back as soon as it was seen.
 */
function captureMemory(): () => WebAssembly.Memory | undefined {
  const original = WebAssembly.Memory;
  let seen: WebAssembly.Memory | undefined;
  const watching = new Proxy(original, {
    construct(target, args: [WebAssembly.MemoryDescriptor], newTarget) {
      const memory = Reflect.construct(target, args, newTarget) as WebAssembly.Memory;
      if (args[0].shared && args[0].maximum === 65_536) {
        seen = memory;
        WebAssembly.Memory = original;
      }
      return memory;
    },
  });
  WebAssembly.Memory = watching;
  return () => seen;
}
