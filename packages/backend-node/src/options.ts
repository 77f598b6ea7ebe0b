import { PaliGemmaError, unknownKeys } from "@paligemma/core";

/** Choices when making a backend. */
export interface NodeBackendOptions {
  /** Where graphs run; "cpu" unless told. There is no fallback from one to the other. */
  readonly device?: "cpu" | "cuda";
  /** Threads that one operator is spread over, 1 to 1024; unless told, one for each core. CPU only. */
  readonly threads?: number;
  /** Which CUDA device, counted from 0; 0 unless told. CUDA only. */
  readonly deviceId?: number;
  /**
   * Folder in which checkpoints in half precision are kept as the float32 that they are computed in: compiling takes
   * milliseconds from the second time on, and the weights are mapped. Entries are twice the checkpoint's size, belong to
   * one machine, and are never removed. CPU only.
   */
  readonly cacheFolder?: string;
  /** Measure how long each operator takes; `endProfile` tells. Runs take a little longer, and a temporary file grows with them. */
  readonly profile?: boolean;
}

const KNOWN = [
  "device",
  "threads",
  "deviceId",
  "cacheFolder",
  "profile",
] as const satisfies readonly (keyof NodeBackendOptions)[];
/** More than any machine has cores for; a bigger number is a mistake. */
const MAX_THREADS = 1024;
/** More than any machine has cards; a bigger number is a mistake. */
const MAX_DEVICE = 255;

/** Throws `backend/option`, listing every option that is unknown, out of range or contradicts another. */
export function checkOptions(options: NodeBackendOptions): void {
  const faults = unknownKeys(options, KNOWN).map(
    ({ key, meant }) => `${key} is no option${meant ? `; is ${meant} meant?` : ` (${KNOWN.join(", ")})`}`,
  );
  const { device = "cpu", threads, deviceId, cacheFolder } = options;
  if (device !== "cpu" && device !== "cuda")
    faults.push(`device is ${JSON.stringify(device)}, it may be "cpu" or "cuda"`);
  if (threads !== undefined && !isWhole(threads, 1, MAX_THREADS))
    faults.push(`threads is ${String(threads)}, it may be a whole number from 1 to ${MAX_THREADS}`);
  if (deviceId !== undefined && !isWhole(deviceId, 0, MAX_DEVICE))
    faults.push(`deviceId is ${String(deviceId)}, it may be a whole number from 0 to ${MAX_DEVICE}`);
  if (deviceId !== undefined && device !== "cuda") faults.push('deviceId is for the device "cuda" alone');
  if (threads !== undefined && device === "cuda") faults.push('threads is for the device "cpu" alone');
  if (cacheFolder !== undefined && (typeof cacheFolder !== "string" || cacheFolder === ""))
    faults.push("cacheFolder must be the path of a folder");
  if (options.profile !== undefined && typeof options.profile !== "boolean")
    faults.push(`profile is ${String(options.profile)}, it may be true or false`);
  if (cacheFolder !== undefined && device === "cuda") faults.push('cacheFolder is for the device "cpu" alone');
  if (faults.length > 0) throw new PaliGemmaError("backend/option", `createNodeBackend: ${faults.join("; ")}`);
}

function isWhole(value: unknown, least: number, most: number): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}
