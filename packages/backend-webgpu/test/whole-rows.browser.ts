import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { expect, test } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { OUT, X, Y, wholeRows } from "./whole-rows.ts";

test.each(["webgpu", "wasm"] as const)("whole rows in 8 bits are cut into blocks once, on %s", async (device) => {
  await using backend = await createWebGpuBackend({ device });
  await using session = await backend.compile(wholeRows(backend.target));
  const loaded = await backend.stats();
  for (let run = 0; run < 2; run++) {
    const { host } = await session.run({ x: X }, { host: ["y"] });
    const y = host["y"]!.data as Float32Array;
    const far = Math.hypot(...y.map((value, i) => value - Y[i]!)) / Math.hypot(...Y);
    expect(far).toBeLessThan(TOLERANCES["quantization/product"]);
  }
  // No run has brought the weight back to the processor.
  const { bytesFromDevice } = await backend.stats();
  expect(bytesFromDevice - loaded.bytesFromDevice).toBe(device === "webgpu" ? 2 * 2 * OUT * 4 : 0);
});
