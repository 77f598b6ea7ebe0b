import type * as FileSystem from "node:fs";
import { createNodeBackend } from "@paligemma/backend-node";
import { expect, test, vi } from "vitest";

// As if the worker had not been built yet.
vi.mock("node:fs", async (original) => {
  const fs = await original<typeof FileSystem>();
  return { ...fs, existsSync: (path: string) => !path.endsWith("worker.js") && fs.existsSync(path) };
});

test("a worker that is not built is named, with the command that builds it", async () => {
  await expect(createNodeBackend()).rejects.toThrow(
    /backend\/unavailable: .*worker\.js is missing.*tsc -b packages\/backend-node/,
  );
});
