import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";

const conditions = ["@paligemma/source", ...defaultServerConditions];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: [
      "packages/*/test/**/*.test.ts",
      "apps/*/test/**/*.test.ts",
      "tooling/test/**/*.test.ts",
      "tooling/peers/test/**/*.test.ts",
      "tooling/tiny-shapes/test/**/*.test.ts",
    ],
    setupFiles: ["tooling/vitest-setup.ts"],
    testTimeout: 60_000,
  },
});
