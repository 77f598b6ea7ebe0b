// A checkpoint of full size, stage by stage: says after each what it took, so that what stops it can be seen.
import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { parseConfig } from "@paligemma/config";
import { openModel, urlSource } from "@paligemma/weights";
import { walkStages } from "../../gpu/stages.ts";

declare global {
  interface Window {
    go(folder: string): Promise<void>;
  }
}

window.go = async (folder) => {
  const adapter = await navigator.gpu.requestAdapter();
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter!.limits;
  const backend = await createWebGpuBackend();
  console.log(JSON.stringify({ stage: "open", backend: backend.name, maxBufferSize, maxStorageBufferBindingSize }));

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
  await walkStages(backend, config, checkpoint);
};
