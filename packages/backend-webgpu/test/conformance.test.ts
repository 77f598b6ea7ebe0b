import { testBackend } from "@paligemma/backend/testing";
import { createWebGpuBackend } from "@paligemma/backend-webgpu";

testBackend(() => createWebGpuBackend({ device: "wasm" }), { suite: "wasm, in Node" });
