import { createWebGpuBackend, type WebGpuBackend } from "@paligemma/backend-webgpu";
import { blobSource, type ByteSource, type ModelFiles } from "@paligemma/weights";
import { loadPaliGemma } from "paligemma";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RecordedAnswers } from "../../../tooling/tiny-shapes/answers.ts";
import { embeddedFiles } from "./embedded-files.ts";

const PICTURE = "/tooling/tiny-shapes/evaluation/000.png";

let backend: WebGpuBackend;
let embedded: ModelFiles;
let expected: readonly number[];
beforeAll(async () => {
  backend = await createWebGpuBackend();
  embedded = await embeddedFiles();
  const recorded = (await (await fetch("/tooling/tiny-shapes/evaluation/answers.json")).json()) as RecordedAnswers;
  expected = recorded.float32[0]!;
});
afterAll(() => backend.dispose());

async function toFile(path: string): Promise<File> {
  const source = await embedded.open(path);
  return new File([(await source.read(0, source.size)) as Uint8Array<ArrayBuffer>], path);
}

/** The file in the origin's private file system, as a page finds it there later. */
async function fromPrivateFileSystem(path: string): Promise<File> {
  const root = await navigator.storage.getDirectory();
  const handle = await root.getFileHandle(`sources-${path}`, { create: true });
  const stream = await handle.createWritable();
  await stream.write(await toFile(path));
  await stream.close();
  return await (await root.getFileHandle(`sources-${path}`)).getFile();
}

test.each<[string, (path: string) => Promise<ByteSource>]>([
  ["a picked file", async (path) => blobSource(await toFile(path), path)],
  ["the private file system", async (path) => blobSource(await fromPrivateFileSystem(path), path)],
])("weights from %s answer on WebGPU as in Node", async (_, open) => {
  const { decodeImage } = await import("@paligemma/processor/browser");
  await using model = await loadPaliGemma({ ...embedded, open }, { backend, selfCheck: false });
  const image = await decodeImage(await (await fetch(PICTURE)).blob());
  expect((await model.generate({ image, prompt: "caption en" })).tokens).toEqual(expected);
});
