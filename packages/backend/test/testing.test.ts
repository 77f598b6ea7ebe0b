import { readFileSync, readdirSync } from "node:fs";
import { BACKEND_TOLERANCES, HALF_TOLERANCES } from "@paligemma/backend/testing";
import { expect, test } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";

const FOLDER = new URL("../src/testing/", import.meta.url);

test("the suite runs in browsers: it imports nothing of Node", () => {
  const files = readdirSync(FOLDER);
  expect(files.length).toBeGreaterThan(5);
  for (const file of files) {
    const imports = [...readFileSync(new URL(file, FOLDER), "utf8").matchAll(/from "([^"]+)"/g)].map(
      ([, name]) => name!,
    );
    expect(imports.filter((name) => !/^(\.|@paligemma\/|vitest$)/.test(name))).toEqual([]);
  }
});

test("its tolerances are those of the project's table", () => {
  expect(BACKEND_TOLERANCES.operator).toBe(TOLERANCES["operator/float32"]);
  expect(HALF_TOLERANCES.operator).toBe(TOLERANCES["operator/float16"]);
});
