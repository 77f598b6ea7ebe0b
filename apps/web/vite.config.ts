import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { files, folder } from "@paligemma/tiny-shapes";
import { defaultClientConditions, defineConfig, type Plugin } from "vite";

const VIRTUAL = "virtual:tiny-shapes";

interface ModelFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

function readModelFile(path: string): ModelFile {
  const bytes = readFileSync(fileURLToPath(new URL(path, folder)));
  return { path, bytes, sha256: createHash("sha256").update(bytes).digest("hex") };
}

/** Where a file lies below the page: its content is in its name. */
function place({ path, sha256 }: ModelFile): string {
  return `model/${sha256.slice(0, 8)}/${path}`;
}

/** The embedded model: its files lie beside the page as they are, and the page knows their sizes and hashes. */
function tinyShapes(): Plugin {
  const models = files.map(readModelFile);
  return {
    name: "tiny-shapes",
    resolveId: (id) => (id === VIRTUAL ? `\0${VIRTUAL}` : undefined),
    load(id) {
      if (id !== `\0${VIRTUAL}`) return undefined;
      const list = models.map((file) => ({
        path: file.path,
        at: place(file),
        size: file.bytes.length,
        sha256: file.sha256,
      }));
      return `export const files = ${JSON.stringify(list)};`;
    },
    configureServer({ middlewares }) {
      middlewares.use((request, response, next) => {
        const file = models.find((model) => request.url?.endsWith(`/${place(model)}`));
        if (!file) return next();
        response.setHeader("content-type", "application/octet-stream");
        response.end(file.bytes);
      });
    },
    generateBundle() {
      for (const file of models) this.emitFile({ type: "asset", fileName: place(file), source: file.bytes });
    },
  };
}

/** Tells the service worker which files make the page, so that it works without a network. */
function shellList(): Plugin {
  return {
    name: "shell-list",
    apply: "build",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        // Builds of the runtime are big and only one is used: the page names the one that it loaded.
        const shell = Object.keys(bundle).filter(
          (name) => !/\.(wasm|map)$/.test(name) && !name.startsWith("assets/ort.") && name !== "sw.js",
        );
        const worker = bundle["sw.js"];
        if (worker?.type !== "chunk") return;
        const version = createHash("sha256").update(shell.toSorted().join()).digest("hex").slice(0, 12);
        worker.code = worker.code
          .replace(/\bSHELL\b/, JSON.stringify(["./", ...shell]))
          .replace(/\bVERSION\b/, JSON.stringify(version));
      },
    },
  };
}

const conditions = ["@paligemma/source", ...defaultClientConditions];

export default defineConfig({
  base: "./",
  resolve: { conditions },
  plugins: [tinyShapes(), shellList()],
  worker: { format: "es", plugins: () => [tinyShapes()] },
  build: {
    outDir: "dist/site",
    target: "es2022",
    // A page under a strict policy loads no data: URLs as scripts or workers, and nothing here is worth inlining.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: {
        index: fileURLToPath(new URL("index.html", import.meta.url)),
        sw: fileURLToPath(new URL("src/sw.ts", import.meta.url)),
      },
      output: { entryFileNames: ({ name }) => (name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
});
