// ONNX exports, as they are written in Node, for the browser's tests: on a stand-in for the Hub, as owner/{name}.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { writeExport } from "@paligemma/onnx/node";
import { quantizeCheckpoint } from "@paligemma/quantization";
import { checkpointOf } from "@paligemma/weights";
import type { TestProject } from "vitest/node";
import { openTiny } from "./hf-tiny.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the exports are served. */
    readonly exports: string;
  }
}

const SERVER = fileURLToPath(new URL("../../hub/test/serve.ts", import.meta.url));
const RECIPE = fileURLToPath(new URL("fixtures/onnx-recipe", import.meta.url));
let root = "";
let server: ChildProcess | undefined;

/** Serves pg1-tiny and pg2-tiny-w4, pg1-tiny in 8 bits and in float16 as pg1-tiny-q8 and -fp16, and onnx-recipe, made by others. */
export async function setup(project: TestProject): Promise<void> {
  root = await mkdtemp(join(tmpdir(), "paligemma-exports-"));
  const [one, two] = [await openTiny("pg1-tiny"), await openTiny("pg2-tiny-w4")];
  const packed = checkpointOf(quantizeCheckpoint(one.checkpoint, { dtype: "int8" }).tensors);
  const exports = {
    "pg1-tiny": one,
    "pg2-tiny-w4": two,
    "pg1-tiny-q8": { ...one, checkpoint: packed },
    "pg1-tiny-fp16": { ...one, dtype: "float16" },
  } as const;
  const folders = Object.keys(exports).map((name) => join(root, name));
  for (const [i, { config, checkpoint, ...options }] of Object.values(exports).entries())
    await writeExport(folders[i]!, { config, checkpoint, ...("dtype" in options && { dtype: options.dtype }) });
  const args = ["--conditions=@paligemma/source", "--import", "tsx", SERVER, RECIPE, ...folders, RECIPE];
  server = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const { value } = await createInterface({ input: server.stdout! })[Symbol.asyncIterator]().next();
  project.provide("exports", value as string);
}

/** Ends the server. */
export async function teardown(): Promise<void> {
  server?.stdin?.end();
  await rm(root, { recursive: true, force: true });
}
