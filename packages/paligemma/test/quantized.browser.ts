import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { parseConfig } from "@paligemma/config";
import { quantizeCheckpoint } from "@paligemma/quantization";
import { checkpointOf, memorySource, openSafetensors } from "@paligemma/weights";
import { createModel } from "paligemma";
import { expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { INPUTS, int64, pixels } from "./hf-tiny-cases.ts";

const file = (path: string): Promise<Response> =>
  fetch(new URL(`./fixtures/hf-tiny/pg1-tiny/${path}`, import.meta.url));

it.each([
  // As it is unless told: whole rows in 8 bits, which are cut into blocks here.
  { dtype: "int8" },
  { dtype: "int8", blockSize: 16 },
  { dtype: "int4", blockSize: 16 },
] as const)("a bundle of $dtype in blocks of $blockSize gives on WebGPU what the processor gives", async (options) => {
  const config = parseConfig(await (await file("config.json")).json());
  const bytes = new Uint8Array(await (await file("model.safetensors")).arrayBuffer());
  const { tensors, matrices } = quantizeCheckpoint(await openSafetensors(memorySource(bytes)), options);
  expect(matrices.length).toBeGreaterThan(0);
  const inputs = { pixelValues: pixels(1), inputIds: int64(INPUTS.A) };
  const answers: Float32Array[] = [];
  for (const device of ["webgpu", "wasm"] as const) {
    await using backend = await createWebGpuBackend({ device });
    await using model = await createModel({ config, checkpoint: checkpointOf(tensors), backend });
    answers.push((await model.forward(inputs)).logits.data);
  }
  const [gpu, processor] = answers as [Float32Array, Float32Array];
  const norm = (values: Float32Array): number => Math.hypot(...values);
  const distance = norm(gpu.map((value, i) => value - processor[i]!)) / norm(processor);
  // The processor rounds what it multiplies to 8 bits, the GPU does not.
  expect(distance).toBeLessThan(TOLERANCES["quantization/product"] * 2);
});
