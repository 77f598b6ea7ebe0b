import { PaliGemmaError, unknownKeys } from "@paligemma/core";

/** How the backend is made. */
export interface WebGpuOptions {
  /**
   * Where graphs run. "webgpu" (default) needs a GPU adapter. "wasm" is the processor, one thread, slow: it is only taken
   * when asked for, never instead of a GPU that is missing.
   */
  readonly device?: "webgpu" | "wasm";
  /** Format of the arithmetic. "float16" needs a GPU with `shader-f16` and must pass a check on numbers. Default "float32". */
  readonly precision?: "float32" | "float16";
  /** Which build of the runtime to load: "jspi" (smaller) where the browser can (default "auto"), else "asyncify". */
  readonly runtime?: "auto" | "jspi" | "asyncify";
  /** Which of two GPUs the browser should prefer. Default "high-performance". */
  readonly power?: "high-performance" | "low-power";
  /** Refuse graphs of which some operator would run on the processor, shape arithmetic apart. Default false. */
  readonly strict?: boolean;
}

/** `WebGpuOptions` with every default filled in. */
export type CheckedOptions = Required<WebGpuOptions>;

const CHOICES = {
  device: ["webgpu", "wasm"],
  precision: ["float32", "float16"],
  runtime: ["auto", "jspi", "asyncify"],
  power: ["high-performance", "low-power"],
  strict: [false, true],
} as const;

/** The options with their defaults; throws `backend/option` for names and values that do not exist. */
export function checkOptions(options: WebGpuOptions = {}): CheckedOptions {
  const faults = unknownKeys(options, Object.keys(CHOICES)).map(
    ({ key, meant }) => `there is no option ${key}${meant ? `; is ${meant} meant?` : ""}`,
  );
  for (const [name, choices] of Object.entries(CHOICES)) {
    const given = options[name as keyof WebGpuOptions];
    if (given !== undefined && !(choices as readonly unknown[]).includes(given)) {
      faults.push(`${name} is ${String(given)}; it can be ${choices.join(" or ")}`);
    }
  }
  if (options.device === "wasm" && options.precision === "float16") {
    faults.push('the device "wasm" computes in float32 only; leave precision out');
  }
  if (faults.length > 0) throw new PaliGemmaError("backend/option", faults.join("; "));
  return {
    device: "webgpu",
    precision: "float32",
    runtime: "auto",
    power: "high-performance",
    strict: false,
    ...options,
  };
}
