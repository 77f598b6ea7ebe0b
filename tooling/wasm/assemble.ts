// Assembles WebAssembly text into constants in base64, so that packages need no file at run time:
//
//   npx tsx tooling/wasm/assemble.ts
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import createWabt from "wabt";

/** A text, the source that it is assembled into, and the constant there. Paths from the repository's root. */
interface Module {
  readonly text: string;
  readonly source: string;
  readonly constant: string;
}

export const MODULES = {
  convolve: {
    text: "tooling/masks/convolve.wat",
    source: "packages/masks/src/generated/convolve-wasm.ts",
    constant: "CONVOLVE_WASM",
  },
  requantize: {
    text: "packages/backend-node/wasm/requantize.wat",
    source: "packages/backend-node/src/generated/requantize-wasm.ts",
    constant: "REQUANTIZE_WASM",
  },
  resample: {
    text: "packages/processor/wasm/resample.wat",
    source: "packages/processor/src/generated/resample-wasm.ts",
    constant: "RESAMPLE_WASM",
  },
} as const satisfies Record<string, Module>;

const at = (path: string): URL => new URL(`../../${path}`, import.meta.url);

/** The source as it is checked in. */
export function checkedIn({ source }: Module): string {
  return readFileSync(at(source), "utf8");
}

/** The source as its text is assembled into it now. */
export async function assemble({ text, constant }: Module): Promise<string> {
  const wabt = await createWabt();
  const parsed = wabt.parseWat(text, readFileSync(at(text), "utf8"), { simd: true });
  parsed.resolveNames();
  parsed.validate();
  const { buffer } = parsed.toBinary({});
  parsed.destroy();
  const base64 = Buffer.from(buffer).toString("base64");
  return `/** ${text}, assembled by tooling/wasm/assemble.ts. */\nexport const ${constant}: string =\n  "${base64}";\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const module of Object.values(MODULES)) writeFileSync(at(module.source), await assemble(module));
}
