// A checkpoint of full size, stage by stage: says after each what it took, so that what stops it can be seen.
import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { parseConfig } from "@paligemma/config";
import { ndArray } from "@paligemma/core";
import { openModel, urlSource } from "@paligemma/weights";
import { createModel } from "paligemma";
import { pixels } from "./request.ts";

declare global {
  interface Window {
    go(folder: string): Promise<void>;
  }
}

window.go = async (folder) => {
  let since = performance.now();
  const adapter = await navigator.gpu.requestAdapter();
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter!.limits;
  const backend = await createWebGpuBackend();
  const tell = async (stage: string, more: object = {}): Promise<void> => {
    const { bufferBytesNow, bufferBytesPeak, bytesToDevice, stagingBytesPeak, wasmHeapBytes } = await backend.stats();
    const seconds = (performance.now() - since) / 1000;
    const stats = { bufferBytesNow, bufferBytesPeak, bytesToDevice, stagingBytesPeak, wasmHeapBytes };
    console.log(JSON.stringify({ stage, seconds, ...more, ...stats }));
    since = performance.now();
  };
  await tell("open", { backend: backend.name, maxBufferSize, maxStorageBufferBindingSize });

  const at = (path: string): URL => new URL(`${folder}${path}`, location.href);
  const config = parseConfig(await (await fetch(at("config.json"))).json());
  const has = async (path: string): Promise<boolean> => (await fetch(at(path), { method: "HEAD" })).ok;
  const index = "model.safetensors.index.json";
  const single = !(await has(index));
  const map = single
    ? {}
    : ((await (await fetch(at(index))).json()) as { weight_map: Record<string, string> }).weight_map;
  const paths = single ? ["model.safetensors"] : [index, ...new Set(Object.values(map))];
  const checkpoint = await openModel({
    name: folder,
    paths: new Set(paths),
    open: (path) => urlSource(at(path)),
  });
  const model = await createModel({ config, checkpoint, backend });
  await tell("load and compile");

  const prompt = (ids: readonly number[]) => ndArray("int64", [1, ids.length], BigInt64Array.from(ids, BigInt));
  const text = await model.start({ inputIds: prompt([2, 10, 11, 12, 108]) }, { expectedTokens: 8 });
  await tell("prompt of 5 tokens, no picture");
  for (let i = 0; i < 3; i++) {
    await text.advanceGreedy(1, []);
    await tell(i === 0 ? "its first token (chosen already)" : "one more token");
  }
  text.dispose();

  const { imageSize } = config.vision;
  const picture = ndArray("float32", [1, 3, imageSize, imageSize], pixels(imageSize));
  (await model.encodeImages(picture)).dispose();
  await tell("one picture through SigLIP");
  const ids = [...Array.from({ length: config.numImageTokens }, () => config.imageTokenIndex), 2, 10, 11, 12, 108];
  const whole = await model.start({ pixelValues: picture, inputIds: prompt(ids) }, { expectedTokens: 8 });
  await tell(`picture and prompt of ${ids.length} tokens`);
  await whole.advanceGreedy(2, []);
  await tell("a token after it");
};
