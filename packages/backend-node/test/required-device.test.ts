import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createNodeBackend } from "@paligemma/backend-node";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const VITEST = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");

/** The conformance suite's first test on CUDA, in a run of its own. */
function conformance(device: string): { readonly status: number | null; readonly output: string } {
  const args = [
    VITEST,
    "run",
    "packages/backend-node/test/conformance.test.ts",
    "--testNamePattern",
    "on cuda is there",
  ];
  const env = { PATH: process.env["PATH"], REQUIRE_DEVICE: device, NO_COLOR: "1" };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, env, encoding: "utf8" });
  return { status, output: stdout + stderr };
}

const cuda = await createNodeBackend({ device: "cuda" }).then(
  (backend) => backend.dispose().then(() => true),
  () => false,
);

test.skipIf(cuda)("an absent device is skipped, and fails where REQUIRE_DEVICE names it", () => {
  const skipped = conformance("webgpu");
  expect([skipped.status, /\bfailed\b/.test(skipped.output)]).toEqual([0, false]);
  const required = conformance("webgpu,cuda");
  expect(required.status).toBe(1);
  expect(required.output).toContain("backend/unavailable: CUDA was asked for");
});
