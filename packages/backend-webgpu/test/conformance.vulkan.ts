import { HALF_TOLERANCES, testBackend } from "@paligemma/backend/testing";
import { createWebGpuBackend } from "@paligemma/backend-webgpu";

testBackend(() => createWebGpuBackend({ precision: "float16" }), {
  suite: "webgpu in Node, float16",
  tolerances: HALF_TOLERANCES,
});
