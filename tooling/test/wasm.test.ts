import { expect, it } from "vitest";
import { assemble, checkedIn, MODULES } from "../wasm/assemble.ts";

it.each(Object.entries(MODULES))(
  "the checked-in WebAssembly of %s is what its source assembles to",
  async (_name, module) => {
    expect(checkedIn(module)).toBe(await assemble(module));
  },
);
