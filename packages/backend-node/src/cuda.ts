import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { PaliGemmaError } from "@paligemma/core";

/** Libraries of onnxruntime's CUDA provider; not in the npm package, which would be four times as big. */
const LIBRARIES = ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"];

/** Where provider libraries must lie: beside the runtime's own. */
export function providerFolder(): string {
  const entry = createRequire(import.meta.url).resolve("onnxruntime-node");
  return join(dirname(entry), "..", "bin", "napi-v6", process.platform, process.arch);
}

/** Throws `backend/unavailable` with what is missing where CUDA cannot be there: another system, or no provider libraries. */
export function checkCuda(version: string, folder: string = providerFolder()): void {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new PaliGemmaError(
      "backend/unavailable",
      `onnxruntime-node has CUDA on linux x64 alone, this is ${process.platform} ${process.arch}. Use { device: "cpu" }`,
    );
  }
  const missing = LIBRARIES.filter((name) => !existsSync(join(folder, name)));
  if (missing.length === 0) return;
  throw new PaliGemmaError(
    "backend/unavailable",
    `CUDA was asked for, but ${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} not in ${folder}. ${remedy(version, folder)}`,
  );
}

/** The error for libraries that are there and do not start. */
export function cudaFailure(version: string, cause: Error, folder: string = providerFolder()): PaliGemmaError {
  return new PaliGemmaError(
    "backend/unavailable",
    `CUDA was asked for and its libraries are there, but it does not start: ${cause.message}. ${remedy(version, folder)}`,
    { cause },
  );
}

function remedy(version: string, folder: string): string {
  return (
    `They must be of version ${version} exactly. Either let onnxruntime-node fetch them: ONNXRUNTIME_NODE_INSTALL=1 npm rebuild onnxruntime-node ` +
    `(with pnpm, allow its build script first); or unpack runtimes/linux-x64/native/*.so of the NuGet package Microsoft.ML.OnnxRuntime.Gpu.Linux ${version} into ${folder}. ` +
    `The machine also needs an NVIDIA driver, and on the library path cudart, cublas, cublasLt and curand of the CUDA version that ` +
    `"ldd libonnxruntime_providers_cuda.so" lists. Or use { device: "cpu" }`
  );
}
