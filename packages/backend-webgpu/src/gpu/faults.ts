import { PaliGemmaError } from "@paligemma/core";

/** Runs `work` and throws `backend/memory` or `backend/run` if the device found fault with it. */
export async function scoped<T>(device: GPUDevice, what: string, work: () => Promise<T> | T): Promise<T> {
  device.pushErrorScope("out-of-memory");
  device.pushErrorScope("validation");
  let result: T;
  let faults: readonly (GPUError | null)[] = [];
  try {
    result = await work();
  } finally {
    faults = await closeScopes(device);
  }
  throwFaults(faults, what);
  return result;
}

/** Closes the two scopes that `scoped` opens: validation, memory. */
async function closeScopes(device: GPUDevice): Promise<readonly (GPUError | null)[]> {
  // A lost device has no scopes any more; its loss is reported elsewhere.
  const close = (): Promise<GPUError | null> => device.popErrorScope().catch(() => null);
  return await Promise.all([close(), close()]);
}

function throwFaults([validation, memory]: readonly (GPUError | null)[], what: string): void {
  if (memory) throw outOfMemory(what, memory.message);
  if (validation) {
    throw new PaliGemmaError(
      "backend/run",
      `the GPU refused ${what}: ${validation.message}. This is a fault of the backend or the driver; please report it.`,
    );
  }
}

/** `backend/memory` with the remedies. */
export function outOfMemory(what: string, why: string): PaliGemmaError {
  return new PaliGemmaError(
    "backend/memory",
    `the GPU has no memory for ${what}: ${why}. Take a smaller model, fewer weight bits (4 or 8), the precision "float16", or smaller batches; close other pages that use the GPU.`,
  );
}

/** `backend/device-lost`, once the device is lost. */
export async function lossOf(device: GPUDevice, label: string): Promise<PaliGemmaError> {
  const { reason, message } = await device.lost;
  const why =
    message.replace(/[.\s]+$/, "") ||
    (reason === "destroyed" ? "the device was destroyed" : "the browser gave no reason");
  return new PaliGemmaError(
    "backend/device-lost",
    `the GPU ${label} was lost: ${why}. Everything on it is gone. Open it again; if it happens again, take a smaller model or close other pages that use the GPU.`,
  );
}
