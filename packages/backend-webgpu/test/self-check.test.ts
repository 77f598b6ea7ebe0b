import type { Backend, Session } from "@paligemma/backend";
import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { expect, test } from "vitest";
import { selfCheck } from "../src/self-check.ts";

/** The backend with `spoil` done to every number of one output. */
function spoilt(backend: Backend, output: string, spoil: (value: number, i: number) => number): Backend {
  const compile: Backend["compile"] = async (model, options) => {
    const session = await backend.compile(model, options);
    const run: Session["run"] = async (feeds, asked) => {
      const { host, device } = await session.run(feeds, asked);
      const right = host[output]!;
      return { host: { ...host, [output]: { ...right, data: (right.data as Float32Array).map(spoil) } }, device };
    };
    return { model, run, dispose: () => session.dispose(), [Symbol.asyncDispose]: () => session.dispose() };
  };
  return { ...backend, name: "a faulty GPU", target: backend.target, compile };
}

test("a device that computes right passes", async () => {
  await using backend = await createWebGpuBackend({ device: "wasm" });
  await expect(selfCheck(backend)).resolves.toBeUndefined();
});

test.each([
  ["one number is off", "y", (value: number, i: number) => (i === 2000 ? value + 0.05 : value)],
  ["one is no number", "y", (value: number, i: number) => (i === 7 ? Number.NaN : value)],
  ["nothing was written", "y", () => 0],
  ["long sums are made in half precision", "sums", () => 8192],
])("a device is not trusted when %s", async (_, output, spoil) => {
  await using backend = await createWebGpuBackend({ device: "wasm" });
  const failure = await selfCheck(spoilt(backend, output, spoil)).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "backend/self-check" });
  expect(String(failure)).toContain('"float32"');
});
