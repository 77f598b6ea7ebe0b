import { fileURLToPath } from "node:url";
import { defaultClientConditions } from "vite";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { FLAGS, findChromium } from "./chromium.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const executablePath = process.env["CHROMIUM_PATH"] ?? findChromium() ?? "chromium";
// A busy machine is slow, not wrong: only what hangs should end here.
const patience = { testTimeout: 300_000, hookTimeout: 300_000, fileParallelism: false };

export default defineConfig({
  root,
  test: {
    // One after the other: both want all of the software adapter.
    fileParallelism: false,
    projects: [
      {
        root,
        resolve: { conditions: ["@paligemma/source", ...defaultClientConditions] },
        // The runtime finds its .wasm file beside its script, which pre-bundling would move.
        optimizeDeps: {
          exclude: ["onnxruntime-web", "onnxruntime-web/jspi", "onnxruntime-web/webgpu", "onnxruntime-web/wasm"],
        },
        worker: { format: "es" },
        test: {
          name: "packages",
          include: ["packages/*/test/**/*.browser.ts"],
          setupFiles: ["tooling/vitest-setup.ts"],
          globalSetup: ["packages/hub/test/browser-setup.ts", "packages/paligemma/test/browser-setup.ts"],
          // All 200 scenes of the evaluation take minutes: SCENES=200 node tooling/browser/run.mjs scenes --reporter=verbose
          provide: { scenes: Number(process.env["SCENES"] ?? 12) },
          ...patience,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({ launchOptions: { executablePath, args: FLAGS } }),
            instances: [{ browser: "chromium" }],
          },
        },
      },
      {
        root,
        test: {
          name: "page",
          include: ["apps/*/test/**/*.journey.ts"],
          environment: "node",
          sequence: { groupOrder: 1 },
          ...patience,
          env: { CHROMIUM_PATH: executablePath },
        },
      },
    ],
  },
});
