import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNodeBackend } from "@paligemma/backend-node";
import { testBackend, type MakeSource } from "@paligemma/backend/testing";
import { afterAll, beforeAll } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";

let folder = "";
let files = 0;
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "backend-node-")));
});
afterAll(() => rm(folder, { recursive: true }));

const file: MakeSource = async (bytes) => {
  const path = join(folder, `weights-${files++}.safetensors`);
  await writeFile(path, bytes);
  return {
    name: path,
    path,
    size: bytes.byteLength,
    read: () => Promise.reject(new Error("a file must be mapped, not read")),
  };
};

const tolerances = { operator: TOLERANCES["operator/float32"] };
testBackend(() => createNodeBackend({ device: "cpu", threads: 2 }), {
  suite: "onnxruntime-node on cpu",
  sources: { "a file": file },
  tolerances,
});
testBackend(() => createNodeBackend({ device: "cuda" }), {
  suite: "onnxruntime-node on cuda",
  device: "cuda",
  sources: { "a file": file },
  tolerances,
});
