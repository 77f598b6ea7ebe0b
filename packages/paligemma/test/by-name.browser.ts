import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { loadPaliGemma } from "paligemma/browser";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { RecordedAnswers } from "../../../tooling/tiny-shapes/answers.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the stand-in for the Hub listens. */
    readonly hub: string;
  }
}

const ROOT = "/tooling/tiny-shapes/evaluation";
const NAME = `test-${crypto.randomUUID()}`;
let root: FileSystemDirectoryHandle;
beforeAll(async () => {
  root = await navigator.storage.getDirectory();
});
afterAll(() => root.removeEntry(NAME, { recursive: true }));

/** What the model of that name says about the first scene, with or without a network. */
async function caption(offline: boolean): Promise<readonly number[]> {
  await using backend = await createWebGpuBackend();
  const folder = await root.getDirectoryHandle(NAME, { create: true });
  const hub = { folder, offline, endpoint: inject("hub") };
  await using model = await loadPaliGemma("owner/tiny-shapes", { backend, hub, selfCheck: false });
  const image = await (await fetch(`${ROOT}/000.png`)).blob();
  return (await model.generate({ image, prompt: "caption en" })).tokens;
}

test("a model by its Hub name answers as in Node, and from what the browser kept without a network", async () => {
  const { float32 } = (await (await fetch(`${ROOT}/answers.json`)).json()) as RecordedAnswers;
  expect(await caption(false)).toEqual(float32[0]);
  expect(await caption(true)).toEqual(float32[0]);
});
