import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createNodeBackend, type NodeBackendOptions } from "@paligemma/backend-node";
import { CPU, CPU_WITHOUT_PANELS, CUDA } from "@paligemma/graph";
import { isPaliGemmaError } from "@paligemma/core";
import { describe, expect, test } from "vitest";

/** Runs a program in a process of its own, against the built package. */
function program(body: string): { readonly status: number | null; readonly output: string } {
  const source = `
    import { createNodeBackend } from "@paligemma/backend-node";
    import { buildGraph, matMul } from "@paligemma/graph";
    const backend = await createNodeBackend({ threads: 1 });
    const model = buildGraph("square", backend.target, (g) => { const x = g.input("x", "float32", ["n", "n"]); return { y: matMul(x, x) }; });
    const session = await backend.compile(model);
    const x = { dtype: "float32", shape: [700, 700], data: new Float32Array(490_000).fill(1) };
    ${body}`;
  const { status, stdout, stderr, signal } = spawnSync(process.execPath, ["--input-type=module", "--eval", source], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    encoding: "utf8",
    timeout: 30_000,
  });
  return { status, output: stdout + stderr + (signal ?? "") };
}

describe("making a backend", () => {
  test("says runtime, version and device", async () => {
    await using backend = await createNodeBackend();
    expect(backend.name).toBe("onnxruntime-node 1.30.0 on cpu");
    // Which of them depends on how this processor multiplies bytes.
    expect([CPU, CPU_WITHOUT_PANELS]).toContain(backend.target);
  });

  const wrong: readonly (readonly [string, object, string])[] = [
    ["an unknown option", { thread: 2 }, "thread is no option; is threads meant?"],
    ["an unknown device", { device: "gpu" }, '"cpu" or "cuda"'],
    ["no threads", { threads: 0 }, "1 to 1024"],
    ["half a thread", { threads: 1.5 }, "1 to 1024"],
    ["a device number for the CPU", { deviceId: 0 }, "deviceId is for"],
    ["threads for CUDA", { device: "cuda", threads: 2 }, "threads is for"],
    ["an empty cacheFolder", { cacheFolder: "" }, "path of a folder"],
    ["a cacheFolder for CUDA", { device: "cuda", cacheFolder: "cache" }, "cacheFolder is for"],
    ["a negative device number", { device: "cuda", deviceId: -1 }, "0 to 255"],
  ];
  for (const [name, options, text] of wrong) {
    test(`${name} is an error`, async () => {
      const failure = await createNodeBackend(options as NodeBackendOptions).catch((error: unknown) => error);
      expect(isPaliGemmaError(failure, "backend/option")).toBe(true);
      expect((failure as Error).message).toContain(text);
    });
  }

  test("every wrong option is named at once", async () => {
    await expect(createNodeBackend({ device: "tpu", threads: -1 } as object)).rejects.toThrow(
      /device is "tpu".*threads is -1/,
    );
  });

  test("CUDA is there, or the error says what is missing, where it must lie and how to get it", async () => {
    const result = await createNodeBackend({ device: "cuda" }).catch((error: unknown) => error);
    if (!(result instanceof Error)) {
      const backend = result as Awaited<ReturnType<typeof createNodeBackend>>;
      expect(backend.target).toBe(CUDA);
      await backend.dispose();
      return;
    }
    expect(isPaliGemmaError(result, "backend/unavailable")).toBe(true);
    expect(result.message).toContain("CUDA");
    expect(result.message).toContain('{ device: "cpu" }');
    if (process.platform !== "linux" || process.arch !== "x64") return;
    for (const part of [
      "libonnxruntime_providers_cuda.so",
      "bin/napi-v6/linux/x64",
      "1.30.0",
      "Microsoft.ML.OnnxRuntime.Gpu.Linux",
      "npm rebuild onnxruntime-node",
    ]) {
      expect(result.message).toContain(part);
    }
  });
});

test("the runtime prints nothing, also when it refuses something", () => {
  const body = `
    const wrong = buildGraph("wrong", backend.target, (g) => ({ y: g.node({ op: "NoSuchOperator", inputs: [g.input("x", "float32", [1])], outputs: [{ dtype: "float32", shape: [1] }] })[0] }));
    await backend.compile(wrong).catch((error) => console.log(error.code));
    const late = buildGraph("late", backend.target, (g) => ({ y: g.node({ op: "Add", inputs: [g.input("a", "float32", ["n"]), g.input("b", "float32", ["m"])], outputs: [{ dtype: "float32", shape: ["n"] }] })[0] }));
    const floats = (n) => ({ dtype: "float32", shape: [n], data: new Float32Array(n) });
    const second = await backend.compile(late);
    await second.run({ a: floats(2), b: floats(3) }, { host: ["y"] }).catch((error) => console.log(error.code));`;
  expect(program(body)).toEqual({ status: 0, output: "backend/compile\nbackend/run\n" });
});

describe("the end of a process", () => {
  test("a backend that waits does not keep it alive", () => {
    expect(program(`await session.run({ x }, { host: ["y"] });`)).toEqual({ status: 0, output: "" });
  });
  test("a run that was asked for does", () => {
    expect(program(`session.run({ x }, { host: ["y"] }).then(({ host }) => console.log(host.y.data[0]));`)).toEqual({
      status: 0,
      output: "700\n",
    });
  });
  test("it may come during a run", () => {
    expect(program(`session.run({ x }, { host: ["y"] }); setTimeout(() => process.exit(3), 5);`)).toEqual({
      status: 3,
      output: "",
    });
  });
  test("dispose ends the worker, also during a run", () => {
    const body = `const run = session.run({ x }, { host: ["y"] }).catch((error) => console.log(error.code)); await backend.dispose(); await run;`;
    expect(program(body)).toEqual({ status: 0, output: "backend/disposed\n" });
  });
});
