import { serveWebGpuWorker } from "@paligemma/backend-webgpu";

serveWebGpuWorker();
