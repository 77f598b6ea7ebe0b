import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));

/** Builds pages of this folder, from the sources of the packages, into another. */
export async function buildPages(outDir: string, names: readonly string[]): Promise<void> {
  await build({
    root: here,
    base: "./",
    logLevel: "error",
    resolve: { conditions: ["@paligemma/source", "module", "browser", "production"] },
    build: {
      outDir,
      emptyOutDir: true,
      target: "esnext",
      rolldownOptions: { input: names.map((name) => join(here, `${name}.html`)) },
    },
  });
}
