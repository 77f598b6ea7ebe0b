import { fileURLToPath } from "node:url";
import { defaultClientConditions } from "vite";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { FLAGS, findChromium } from "./chromium.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

export default defineConfig({
  root,
  resolve: { conditions: ["@paligemma/source", ...defaultClientConditions] },
  // The runtime finds its .wasm file beside its script, which pre-bundling would move.
  optimizeDeps: {
    exclude: ["onnxruntime-web", "onnxruntime-web/jspi", "onnxruntime-web/webgpu", "onnxruntime-web/wasm"],
  },
  worker: { format: "es" },
  test: {
    include: ["packages/*/test/**/*.browser.ts", "apps/*/test/**/*.browser.ts"],
    setupFiles: ["tooling/vitest-setup.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    fileParallelism: false,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({
        launchOptions: { executablePath: process.env["CHROMIUM_PATH"] ?? findChromium() ?? "chromium", args: FLAGS },
      }),
      instances: [{ browser: "chromium" }],
    },
  },
});
