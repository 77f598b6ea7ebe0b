// Assembles requantize.wat into src/generated/requantize-wasm.ts (base64, so that it needs no file at run time).
//
//   npx tsx packages/backend-node/wasm/assemble.ts
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import createWabt from "wabt";

/** The generated file's text. */
export async function assemble(): Promise<string> {
  const wabt = await createWabt();
  const source = readFileSync(new URL("requantize.wat", import.meta.url), "utf8");
  const parsed = wabt.parseWat("requantize.wat", source, { simd: true });
  parsed.resolveNames();
  parsed.validate();
  const { buffer } = parsed.toBinary({});
  parsed.destroy();
  const base64 = Buffer.from(buffer).toString("base64");
  return `/** wasm/requantize.wat, assembled by wasm/assemble.ts. */\nexport const REQUANTIZE_WASM: string =\n  "${base64}";\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL("../src/generated/requantize-wasm.ts", import.meta.url), await assemble());
}
