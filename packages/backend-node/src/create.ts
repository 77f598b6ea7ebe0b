import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { isPaliGemmaError, PaliGemmaError } from "@paligemma/core";
import { CPU_WITHOUT_PANELS, type Target } from "@paligemma/graph";
import { WorkerBackend } from "./backend.ts";
import { checkCuda, cudaFailure } from "./cuda.ts";
import { WorkerLink } from "./link.ts";
import { checkOptions, type NodeBackendOptions } from "./options.ts";
import { RUNTIME_VERSION } from "./runtime-version.ts";
import { checkMappedWeights, multipliesBytes } from "./self-test.ts";
import type { NodeBackend } from "./stats.ts";

/**
 * A backend on onnxruntime-node in a worker thread, so that the caller's thread stays free while graphs run. The caller
 * disposes it. Throws `backend/option` for options that cannot be meant, `backend/unavailable` saying exactly what is missing.
 */
export async function createNodeBackend(options: NodeBackendOptions = {}): Promise<NodeBackend> {
  checkOptions(options);
  const cuda = options.device === "cuda";
  if (cuda) checkCuda(RUNTIME_VERSION);
  const url = workerUrl();
  const { link, version } = await WorkerLink.start(url, options.threads ?? availableParallelism());
  // What is tried out here is in nobody's profile.
  const backend = new WorkerBackend(link, version, { ...options, profile: false });
  let target: Target;
  try {
    if (version !== RUNTIME_VERSION) throw otherVersion(version);
    await checkMappedWeights(backend, fileURLToPath(url));
    // Only on x86 has the runtime a kernel that multiplies one row of bytes with weights as they lie.
    const panels = process.arch === "x64" && (await multipliesBytes(backend));
    target = cuda || panels ? backend.target : CPU_WITHOUT_PANELS;
  } catch (error) {
    await backend.dispose();
    if (isPaliGemmaError(error, "backend/unavailable")) throw error;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : (error as Error);
    if (cuda) throw cudaFailure(RUNTIME_VERSION, cause);
    throw new PaliGemmaError(
      "backend/unavailable",
      `onnxruntime-node ${version} loads, but does not run a graph with weights in a file: ${cause.message}`,
      { cause },
    );
  }
  return new WorkerBackend(link, version, options, target);
}

function otherVersion(version: string): PaliGemmaError {
  return new PaliGemmaError(
    "backend/unavailable",
    `onnxruntime-node is ${version}, this package is made for ${RUNTIME_VERSION}, whose treatment of files and buffers it relies on; install that version`,
  );
}

/** The built worker, also when this file is a source that something else translates: threads start from JavaScript only. */
function workerUrl(): URL {
  const url = new URL(import.meta.resolve("@paligemma/backend-node/worker"));
  if (!existsSync(fileURLToPath(url))) {
    throw new PaliGemmaError(
      "backend/unavailable",
      `${fileURLToPath(url)} is missing: the worker has to be built first (npx tsc -b packages/backend-node in the repository; an installed package brings it)`,
    );
  }
  return url;
}
