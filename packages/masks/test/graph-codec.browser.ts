import { createWebGpuBackend, type WebGpuBackend } from "@paligemma/backend-webgpu";
import { afterAll, beforeAll, it } from "vitest";
import { expectGraphCodec, type CodecOracle } from "./graph-codec-cases.ts";

const file = (name: string): Promise<Response> => fetch(new URL(`./fixtures/${name}`, import.meta.url));

let backend: WebGpuBackend;
beforeAll(async () => {
  backend = await createWebGpuBackend();
});
afterAll(() => backend.dispose());

it("the codec on WebGPU decodes and encodes as PyTorch and as TypeScript do", async () => {
  const oracle = (await (await file("codec.json")).json()) as CodecOracle;
  await expectGraphCodec(backend, oracle, new Uint8Array(await (await file("codec.bin")).arrayBuffer()));
});
