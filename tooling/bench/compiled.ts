import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import ts from "typescript";

/**
 * A script that imports packages only, as JavaScript that plain Node runs on what is built: the path of it. A loader of TypeScript
 * would take 40 MB in the process that is measured.
 */
export function compiled(script: string): string {
  const { outputText } = ts.transpileModule(readFileSync(script, "utf8"), {
    fileName: script,
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  const folder = join(dirname(script), "build");
  mkdirSync(folder, { recursive: true });
  const path = join(folder, basename(script).replace(/\.ts$/, ".mjs"));
  writeFileSync(path, outputText);
  return path;
}
