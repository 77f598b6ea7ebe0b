import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { loadPaliGemma, type SelfCheck } from "paligemma";
import { expect, test } from "vitest";
import { embeddedFiles } from "./embedded-files.ts";
import { withSelfCheck } from "./with-self-check.ts";

test("a GPU is compared with the model's own expectation when a model is loaded, unless told not to", async () => {
  await using backend = await createWebGpuBackend();
  const files = await embeddedFiles();
  await (await loadPaliGemma(files, { backend })).dispose();

  const source = await files.open("self-check.json");
  const expected = JSON.parse(new TextDecoder().decode(await source.read(0, source.size))) as SelfCheck;
  const wrong = withSelfCheck(files, { ...expected, logits: expected.logits.map((logit) => logit * 1.01) });
  const failure = await loadPaliGemma(wrong, { backend }).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "paligemma/self-check" });
  expect(String(failure)).toMatch(/on webgpu .* in float32: off by 0\.1\d+, .* take the device "wasm"/);
  await (await loadPaliGemma(wrong, { backend, selfCheck: false })).dispose();
});
