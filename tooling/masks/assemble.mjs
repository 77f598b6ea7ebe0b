// Writes packages/masks/src/generated/convolve-wasm.ts from convolve.wat. Needs wabt, which is no dependency of ours:
//   npm install --prefix /tmp/wabt wabt@1.0.39 && node tooling/masks/assemble.mjs /tmp/wabt
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const wabt = await createRequire(join(resolve(process.argv[2] ?? "."), "index.js"))("wabt")();
const here = import.meta.dirname;
const module = wabt.parseWat("convolve.wat", readFileSync(join(here, "convolve.wat"), "utf8"), { simd: true });
const bytes = Buffer.from(module.toBinary({}).buffer);
writeFileSync(
  join(here, "../../packages/masks/src/generated/convolve-wasm.ts"),
  `// Written by tooling/masks/assemble.mjs from convolve.wat beside it.\n/** WebAssembly of the codec's inner loop, in base64. */\nexport const CONVOLVE_WASM: string =\n  "${bytes.toString("base64")}";\n`,
);
console.log(`${bytes.length} bytes`);
