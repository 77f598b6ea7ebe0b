import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { assemble } from "../wasm/assemble.ts";

it("the checked-in WebAssembly is what its source assembles to", async () => {
  expect(readFileSync(new URL("../src/generated/requantize-wasm.ts", import.meta.url), "utf8")).toBe(await assemble());
});
