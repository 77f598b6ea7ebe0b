import { formatBytes } from "./pace.ts";

/** What this machine can and cannot do, for people. */
export interface MachineReport {
  readonly gpu: boolean;
  readonly half: boolean;
  /** A sentence on the graphics card. */
  readonly gpuNote: string;
  readonly halfNote: string;
  /** Lines for the table, title and value. */
  readonly facts: readonly (readonly [string, string])[];
}

/** Asks the browser what there is. */
export async function reportMachine(): Promise<MachineReport> {
  const adapter = await findAdapter();
  const facts: [string, string][] = [];
  if (typeof adapter !== "string") {
    const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
    const name = [vendor, architecture].filter(Boolean).join(" ") || description || "unnamed";
    facts.push(["Graphics card", isFallbackAdapter ? `${name} (software)` : name]);
    facts.push(["Largest single table", formatBytes(adapter.limits.maxBufferSize)]);
  } else facts.push(["Graphics card", "none that this browser offers"]);
  const { quota = 0, usage = 0 } = (await navigator.storage?.estimate?.()) ?? {};
  facts.push([
    "Room for kept models",
    quota > 0 ? `${formatBytes(Math.max(0, quota - usage))} (${formatBytes(usage)} used)` : "unknown",
  ]);
  facts.push(["Processor threads", `${navigator.hardwareConcurrency} (one is used)`]);
  return { ...notesOn(adapter), facts };
}

function notesOn(adapter: GPUAdapter | string): Pick<MachineReport, "gpu" | "half" | "gpuNote" | "halfNote"> {
  if (typeof adapter === "string") {
    return { gpu: false, half: false, gpuNote: adapter, halfNote: "Needs a graphics card." };
  }
  const half = adapter.features.has("shader-f16");
  const gpuNote = adapter.info.isFallbackAdapter
    ? "There is none, but the browser imitates one on the processor: right numbers, slowly."
    : "Fastest. Weights and everything in between stay on the card.";
  const halfNote = half
    ? "Half the memory. Checked on numbers before it is used."
    : "This graphics card does not offer it to the browser (shader-f16).";
  return { gpu: true, half, gpuNote, halfNote };
}

async function findAdapter(): Promise<GPUAdapter | string> {
  const gpu = navigator.gpu as GPU | undefined;
  if (!gpu) {
    return isSecureContext
      ? "This browser has no WebGPU. A current Chrome, Edge, Safari or Firefox has."
      : "Browsers offer WebGPU to pages over https only.";
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  return (
    adapter ??
    "This browser has WebGPU but offers no graphics card. It may be switched off in its settings, or the driver is one it refuses."
  );
}
