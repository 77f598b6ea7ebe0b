// Runs the tests of half precision on a software GPU, in Node: `node tooling/gpu/run-vulkan.mjs [filter…]`.
// Without a Vulkan driver that computes in float16 it says so and counts as skipped; REQUIRE_VULKAN=1 makes that a failure.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { findVulkan } from "./vulkan.mjs";

const driver = findVulkan();
const missing = driver ? fault(driver) : "no software Vulkan driver was found";
if (missing) {
  const required = process.env.REQUIRE_VULKAN === "1";
  const bar = "!".repeat(100);
  console.error(`${bar}\nNO FLOAT16: ${missing}, so half precision on WebGPU is NOT TESTED in this run.`);
  console.error("Install Mesa 23 or newer (Debian: mesa-vulkan-drivers; in Debian 12 from bookworm-backports),");
  console.error("or point VULKAN_DRIVER at the description of a driver (…_icd.json).");
  console.error(required ? "REQUIRE_VULKAN=1, so this is a failure." : "Set REQUIRE_VULKAN=1 to make this a failure.");
  console.error(bar);
  console.log("Tests  1 skipped (1)");
  process.exit(required ? 1 : 0);
}
console.log(`half precision on ${driver}`);

const here = fileURLToPath(new URL(".", import.meta.url));
const vitest = fileURLToPath(new URL("node_modules/vitest/vitest.mjs", import.meta.url));
const args = [vitest, "run", "--config", "vitest.config.ts", ...process.argv.slice(2)];
const { status } = spawnSync(process.execPath, args, {
  cwd: here,
  stdio: "inherit",
  env: { ...process.env, VK_ICD_FILENAMES: driver },
});
process.exit(status ?? 1);

/** Why the driver will not do, or undefined. Asked in a process of its own: what a driver prints or breaks stays there. */
function fault(path) {
  const probe = `
    const { create } = await import("webgpu");
    const adapter = await create([]).requestAdapter();
    console.log("probe: " + (adapter ? adapter.features.has("shader-f16") ? "ok" : "it has no shader-f16" : "Dawn refuses it"));
    process.exit(0);`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "--eval", probe], {
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    encoding: "utf8",
    timeout: 60_000,
    env: { ...process.env, VK_ICD_FILENAMES: path },
  });
  const answer = /^probe: (.*)$/m.exec(stdout ?? "")?.[1] ?? "asking it for an adapter failed";
  return answer === "ok" ? undefined : `the driver ${path} will not do (${answer})`;
}
