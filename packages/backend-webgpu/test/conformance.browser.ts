import { testBackend } from "@paligemma/backend/testing";
import { connectWebGpuWorker, createWebGpuBackend } from "@paligemma/backend-webgpu";

const blobs = {
  "a blob": (bytes: Uint8Array) => {
    const blob = new Blob([bytes as Uint8Array<ArrayBuffer>]);
    const read = async (start: number, end: number) => new Uint8Array(await blob.slice(start, end).arrayBuffer());
    return Promise.resolve({ name: "a blob", size: blob.size, read });
  },
};

testBackend(() => createWebGpuBackend(), { suite: "webgpu, jspi", sources: blobs });
testBackend(() => createWebGpuBackend({ runtime: "asyncify" }), { suite: "webgpu, asyncify", sources: blobs });
testBackend(() => createWebGpuBackend({ device: "wasm" }), { suite: "wasm", sources: blobs });
testBackend(() => connectWebGpuWorker(new Worker(new URL("worker.ts", import.meta.url), { type: "module" })), {
  suite: "webgpu, in a worker",
  sources: blobs,
});
