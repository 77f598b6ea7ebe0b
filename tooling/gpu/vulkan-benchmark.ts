// A checkpoint on WebGPU in Node, on the Vulkan driver that run-vulkan.mjs tests with, stage by stage, a line of JSON each:
//   node --conditions=@paligemma/source --import tsx tooling/gpu/vulkan-benchmark.ts FOLDER [--precision float32|float16]
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { parseConfig } from "@paligemma/config";
import { ndArray, type NdArray } from "@paligemma/core";
import { openCheckpoint } from "@paligemma/weights/node";
import { createModel } from "paligemma";
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

let since = performance.now();
const backend = await createWebGpuBackend({ precision: values.precision as "float32" });
async function tell(stage: string): Promise<void> {
  const { bufferBytesNow, bufferBytesPeak, stagingBytesPeak, wasmHeapBytes } = await backend.stats();
  const seconds = Math.round(performance.now() - since) / 1000;
  const processor = process.cpuUsage().user / 1e6;
  console.log(
    JSON.stringify({ stage, seconds, processor, bufferBytesNow, bufferBytesPeak, stagingBytesPeak, wasmHeapBytes }),
  );
  since = performance.now();
}
await tell(backend.name);

const config = parseConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8")));
const model = await createModel({ config, checkpoint: await openCheckpoint(folder), backend });
await tell("load and compile");

const { imageSize } = config.vision;
const prompt = (ids: readonly number[]): NdArray<"int64"> =>
  ndArray("int64", [1, ids.length], BigInt64Array.from(ids, BigInt));
const pixels = Float32Array.from({ length: 3 * imageSize ** 2 }, (_, i) => Math.sin(i * 0.37) * 0.9);
const picture = ndArray("float32", [1, 3, imageSize, imageSize], pixels);
const text = await model.start({ inputIds: prompt([2, 10, 11, 12, 108]) }, { expectedTokens: 8 });
await tell("prompt of 5 tokens, no picture");
await text.advanceGreedy(2, []);
await tell("one more token");
text.dispose();
(await model.encodeImages(picture)).dispose();
await tell("one picture through SigLIP");
const ids = [...Array.from({ length: config.numImageTokens }, () => config.imageTokenIndex), 2, 10, 11, 12, 108];
const whole = await model.start({ pixelValues: picture, inputIds: prompt(ids) }, { expectedTokens: 8 });
await tell(`picture and prompt of ${ids.length} tokens`);
await whole.advanceGreedy(2, []);
await tell("a token after it");
process.exit(0);
