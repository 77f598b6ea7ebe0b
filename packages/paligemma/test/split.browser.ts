import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { decodeImage } from "@paligemma/processor/browser";
import { loadPaliGemma } from "paligemma";
import { expect, test, vi } from "vitest";
import type { RecordedAnswers } from "../../../tooling/tiny-shapes/answers.ts";
import { embeddedFiles } from "./embedded-files.ts";

/** Less than half of the token table of tiny-shapes, more than any other tensor. */
const LIMIT = 400_000;

test("a token table larger than a buffer of the GPU is cut, and gives the same answer", async () => {
  const limits = vi.spyOn(GPUSupportedLimits.prototype, "maxBufferSize", "get").mockReturnValue(LIMIT);
  const buffers = vi.spyOn(GPUDevice.prototype, "createBuffer");
  await using backend = await createWebGpuBackend();
  await using model = await loadPaliGemma(await embeddedFiles(), { backend });
  limits.mockRestore();
  const image = await decodeImage(await (await fetch("/tooling/tiny-shapes/evaluation/000.png")).blob());
  const { tokens } = await model.generate({ image, prompt: "caption en" });
  const recorded = (await (await fetch("/tooling/tiny-shapes/evaluation/answers.json")).json()) as RecordedAnswers;
  expect(tokens).toEqual(recorded.float32[0]);
  const sizes = buffers.mock.calls.map(([{ size }]) => size);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(LIMIT);
  // 1664 rows of 144 numbers in three parts, one graph sharing them between its two ends.
  expect(sizes.filter((size) => size === 555 * 144 * 4)).toHaveLength(2);
});
