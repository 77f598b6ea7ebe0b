import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Backend } from "@paligemma/backend";
import { PaliGemmaError } from "@paligemma/core";
import { NodeBackend } from "./backend.ts";
import { WorkerLink } from "./link.ts";
import { checkOptions, type NodeBackendOptions } from "./options.ts";

/**
 * A backend on onnxruntime-node in a worker thread, so that the caller's thread stays free while graphs run. The caller
 * disposes it. Throws `backend/option` for options that cannot be meant, `backend/unavailable` saying exactly what is missing.
 */
export async function createNodeBackend(options: NodeBackendOptions = {}): Promise<Backend> {
  checkOptions(options);
  const { link, version } = await WorkerLink.start(workerUrl());
  return new NodeBackend(link, version, options);
}

/** The built worker, also when this file is a source that something else translates: threads start from JavaScript only. */
function workerUrl(): URL {
  const url = new URL(import.meta.resolve("@paligemma/backend-node/worker"));
  if (!existsSync(fileURLToPath(url))) {
    throw new PaliGemmaError("backend/unavailable", `${fileURLToPath(url)} is missing: the worker has to be built first (npx tsc -b packages/backend-node in the repository; an installed package brings it)`);
  }
  return url;
}
