import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { files, folder } from "@paligemma/tiny-shapes";
import { describe, expect, it } from "vitest";

const MAXIMUM_BYTES = 8_000_000; // a clone of the repository, and a visit of the web page, carry them all

describe("files", () => {
  it("are exactly those in the folder", () => {
    expect(readdirSync(fileURLToPath(folder)).sort()).toEqual([...files].sort());
  });

  it("are small together", () => {
    const bytes = files.reduce((sum, name) => sum + statSync(new URL(name, folder)).size, 0);
    expect(bytes).toBeLessThanOrEqual(MAXIMUM_BYTES);
  });
});
