export { createWebGpuBackend, type WebGpuBackend } from "./create.ts";
export type { WebGpuOptions } from "./options.ts";
export type { BackendStats } from "./stats.ts";
export { connectWebGpuWorker } from "./worker/connect.ts";
export { serveWebGpuWorker, type WorkerScope } from "./worker/serve.ts";
export type { WorkerPort } from "./worker/link.ts";
