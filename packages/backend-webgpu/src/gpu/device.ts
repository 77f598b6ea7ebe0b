import { PaliGemmaError } from "@paligemma/core";
import type { CheckedOptions } from "../options.ts";
import { widenSums } from "./wide-sums.ts";

/** Limits that are raised to what the adapter has; big tables and wide layers need them. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
] as const;

/** A device of our own and what is known about its adapter. */
export interface OpenDevice {
  readonly device: GPUDevice;
  /** "google swiftshader", "nvidia ampere", … */
  readonly label: string;
  /** True for an adapter that computes on the processor. */
  readonly software: boolean;
  readonly maxBufferSize: number;
}

/**
 * Opens a device without `subgroups`: the runtime's attention shaders that use them give wrong numbers on several Vulkan
 * adapters. Throws `backend/unavailable` with what is missing and the remedy.
 */
export async function openDevice(options: CheckedOptions): Promise<OpenDevice> {
  const adapter = await findAdapter(options.power);
  const wantsHalf = options.precision === "float16";
  if (wantsHalf && !adapter.features.has("shader-f16")) {
    throw new PaliGemmaError(
      "backend/unavailable",
      `the GPU ${describe(adapter)} does not compute in float16 (no shader-f16). Take the precision "float32", which is right everywhere.`,
    );
  }
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  try {
    const device = await adapter.requestDevice({ requiredFeatures: wantsHalf ? ["shader-f16"] : [], requiredLimits });
    if (wantsHalf) widenSums(device);
    return {
      device,
      label: describe(adapter),
      software: adapter.info.isFallbackAdapter,
      maxBufferSize: device.limits.maxBufferSize,
    };
  } catch (cause) {
    throw new PaliGemmaError(
      "backend/unavailable",
      `the GPU ${describe(adapter)} was found but could not be opened: ${String(cause)}. Close other pages that use the GPU and reload; restart the browser if that does not help.`,
      { cause },
    );
  }
}

async function findAdapter(power: GPUPowerPreference): Promise<GPUAdapter> {
  const wasm = 'The device "wasm" computes on the processor instead: slow, but it works everywhere.';
  const gpu = globalThis.navigator?.gpu as GPU | undefined;
  if (!gpu) {
    const reason =
      "isSecureContext" in globalThis && !globalThis.isSecureContext
        ? "the page is not served over https or from localhost"
        : "this browser has no WebGPU";
    throw new PaliGemmaError(
      "backend/unavailable",
      `${reason}. Use a current Chrome, Edge, Safari or Firefox over https. ${wasm}`,
    );
  }
  let cause: unknown;
  const adapter = await gpu.requestAdapter({ powerPreference: power }).catch((error: unknown) => {
    cause = error;
    return null;
  });
  if (adapter) return adapter;
  throw new PaliGemmaError(
    "backend/unavailable",
    `the browser has WebGPU but offers no GPU adapter. Graphics acceleration may be switched off in its settings, or the driver is on its list of faulty ones (see the page about:gpu). ${wasm}`,
    { cause },
  );
}

function describe(adapter: GPUAdapter): string {
  const { vendor, architecture, description } = adapter.info;
  return [vendor, architecture].filter(Boolean).join(" ") || description || "unknown GPU";
}
