import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { loadPaliGemma } from "paligemma/browser";
import { afterAll, expect, inject, test } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { INPUTS, int64, maskOf, pixels, upToEnd, type TinyAnswers } from "./hf-tiny-cases.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the exports are served. */
    readonly exports: string;
  }
}

const NAME = `test-${crypto.randomUUID()}`;
afterAll(async () => (await navigator.storage.getDirectory()).removeEntry(NAME, { recursive: true }));

const CASES = [
  // what, its repository, whose answers it gives
  ["our export of Gemma 1", "owner/pg1-tiny", "pg1-tiny"],
  ["our export of Gemma 2 with windows", "owner/pg2-tiny-w4", "pg2-tiny-w4"],
  ["an export of others", "owner/onnx-recipe", "pg2-tiny"],
] as const;

test.each(CASES.flatMap((row) => (["webgpu", "wasm"] as const).map((device) => [...row, device] as const)))(
  "%s (%s) gives transformers' ids (%s) on %s, alone and in a padded batch",
  async (_, repository, base, device) => {
    const expected = (await (
      await fetch(new URL(`./fixtures/hf-tiny/${base}/expected.json`, import.meta.url))
    ).json()) as TinyAnswers;
    const root = await navigator.storage.getDirectory();
    const hub = { endpoint: inject("exports"), folder: await root.getDirectoryHandle(NAME, { create: true }) };
    await using backend = await createWebGpuBackend({ device });
    await using model = await loadPaliGemma(repository, { backend, hub });
    for (const [key, rows] of [
      ["gen.greedy", INPUTS.A],
      ["gen.greedy_batch", INPUTS.B],
    ] as const) {
      const { new_tokens: ids } = expected[key]!;
      const inputs = { pixelValues: pixels(rows.length), inputIds: int64(rows), attentionMask: maskOf(rows) };
      const { sequences } = await model.generateIds(inputs, { maxNewTokens: ids[0]!.length });
      expect(sequences).toEqual(ids.map(upToEnd));
    }
  },
);

test.each(["q8", "fp16"])("an export in %s gives on WebGPU what the processor gives", async (dtype) => {
  const root = await navigator.storage.getDirectory();
  const hub = { endpoint: inject("exports"), folder: await root.getDirectoryHandle(NAME, { create: true }) };
  const answers: Float32Array[] = [];
  for (const device of ["webgpu", "wasm"] as const) {
    await using backend = await createWebGpuBackend({ device });
    await using model = await loadPaliGemma(`owner/pg1-tiny-${dtype}`, { backend, hub });
    const inputs = { pixelValues: pixels(1), inputIds: int64(INPUTS.A) };
    answers.push((await model.forward(inputs)).logits.data);
  }
  const [gpu, processor] = answers as [Float32Array, Float32Array];
  const norm = (values: Float32Array): number => Math.hypot(...values);
  // The processor rounds what it multiplies with 8 bits to 8 bits as well.
  const far = dtype === "q8" ? TOLERANCES["quantization/product"] * 2 : TOLERANCES["hf-tiny/logits, webgpu"];
  expect(norm(gpu.map((value, i) => value - processor[i]!)) / norm(processor)).toBeLessThan(far);
});
