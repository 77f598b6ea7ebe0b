// A checkpoint on WebGPU in Node, on the Vulkan driver that run-vulkan.mjs tests with, stage by stage, a line of JSON each:
//   node --conditions=@paligemma/source --import tsx tooling/gpu/vulkan-benchmark.ts FOLDER [--precision float32|float16]
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { parseConfig } from "@paligemma/config";
import { openCheckpoint } from "@paligemma/weights/node";
import { walkStages } from "./stages.ts";
import { findVulkan } from "./vulkan.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { precision: { type: "string", default: "float32" } },
});
const [folder] = positionals;
const driver = findVulkan();
if (folder === undefined || driver === undefined) {
  console.error("usage: vulkan-benchmark.ts FOLDER [--precision float32|float16]; needs Mesa's software Vulkan driver");
  process.exit(2);
}
process.env["VK_ICD_FILENAMES"] = driver;
await import("./vulkan-setup.ts");

const backend = await createWebGpuBackend({ precision: values.precision as "float32" });
console.log(JSON.stringify({ stage: "open", backend: backend.name }));
const config = parseConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8")));
await walkStages(backend, config, await openCheckpoint(folder), () => ({ processor: process.cpuUsage().user / 1e6 }));
process.exit(0);
