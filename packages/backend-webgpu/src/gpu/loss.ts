import { PaliGemmaError } from "@paligemma/core";

/** Watches over the life of a device: what waits on a device that ends is told so, instead of waiting forever. */
export class Life {
  #over: PaliGemmaError | undefined;
  readonly #waiting = new Set<(error: PaliGemmaError) => void>();

  constructor(device: GPUDevice, label: string) {
    void device.lost.then(({ reason, message }) => {
      const why = message || (reason === "destroyed" ? "the device was destroyed" : "the browser gave no reason");
      this.end(
        new PaliGemmaError(
          "backend/device-lost",
          `the GPU ${label} was lost: ${why}. Everything on it is gone. Create the backend anew; if it happens again, take a smaller model or close other pages that use the GPU.`,
        ),
      );
    });
  }

  /** Why the device is gone, if it is. */
  get over(): PaliGemmaError | undefined {
    return this.#over;
  }

  /** Throws once the device is gone. */
  check(): void {
    if (this.#over) throw this.#over;
  }

  /** Ends everything that waits with `error`; the first one counts. */
  end(error: PaliGemmaError): void {
    if (this.#over) return;
    this.#over = error;
    for (const reject of this.#waiting) reject(error);
    this.#waiting.clear();
  }

  /** What `work` gives, or the loss of the device, whichever is first. */
  guard<T>(work: Promise<T>): Promise<T> {
    if (this.#over) {
      void work.catch(() => undefined);
      return Promise.reject(this.#over);
    }
    return new Promise<T>((resolve, reject) => {
      this.#waiting.add(reject);
      work.then(resolve, (error: unknown) => reject(this.#over ?? error)).finally(() => this.#waiting.delete(reject));
    });
  }
}

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
