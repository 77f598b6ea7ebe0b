import { fileURLToPath } from "node:url";
import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";
import { findVulkan } from "./vulkan.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const conditions = ["@paligemma/source", ...defaultServerConditions];

export default defineConfig({
  root,
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["packages/*/test/**/*.vulkan.ts"],
    setupFiles: ["tooling/gpu/vulkan-setup.ts", "tooling/vitest-setup.ts"],
    // Shaders are compiled by the processor: seconds each on the first run, when the driver's cache is empty.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    fileParallelism: false,
    env: { VK_ICD_FILENAMES: findVulkan() ?? "" },
  },
});
