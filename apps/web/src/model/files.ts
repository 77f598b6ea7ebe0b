import { PaliGemmaError, nearest, type OnProgress } from "@paligemma/core";
import { blobSource, memorySource, type ByteSource, type ModelFiles } from "@paligemma/weights";
import { files as embedded } from "virtual:tiny-shapes";
import type { ModelChoice } from "./protocol.ts";

/** What reading a model may need. */
export interface OpenOptions {
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

/** The files of a chosen model. */
export async function openChoice(choice: ModelChoice, options: OpenOptions): Promise<ModelFiles> {
  switch (choice.kind) {
    case "tiny-shapes":
      return await embeddedFiles(options);
    case "folder":
      return folderFiles(choice);
    case "hub":
      // Only who asks for a model of the Hub loads the code that talks to it.
      return await (await import("./hub-files.ts")).hubFiles(choice, options);
  }
}

type Embedded = (typeof embedded)[number];

/** More than half of the embedded model, and only masks need it. */
const LATER = "mask-codec.safetensors";

// Scripts lie in assets/, models beside the page.
const addressOf = ({ at }: Embedded): string =>
  new URL(import.meta.env.DEV ? `/${at}` : `../${at}`, self.location.href).href;

/** Where the files of the embedded model lie, for a service worker to keep. */
export function embeddedAddresses(): readonly string[] {
  return embedded.map(addressOf);
}

/** The embedded model, fetched whole and checked, the mask codec when it is asked for. */
async function embeddedFiles({ onProgress, signal }: OpenOptions): Promise<ModelFiles> {
  const now = embedded.filter(({ path }) => path !== LATER);
  const total = now.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  let told = 0;
  const count = (bytes: number): void => {
    done += bytes;
    // Parts are small and many; nobody sees a hundredth.
    if (done < total && done - told < total / 100) return;
    told = done;
    onProgress({ task: "read the model", done, total, unit: "bytes" });
  };
  const sources = new Map(
    await Promise.all(now.map(async (file) => [file.path, await fetchEmbedded(file, count, signal)] as const)),
  );
  const files = filesOf("tiny-shapes", sources);
  return {
    ...files,
    paths: new Set(embedded.map(({ path }) => path)),
    async open(path) {
      const late = path === LATER ? embedded.find((file) => file.path === path) : undefined;
      return late ? await fetchEmbedded(late, () => undefined) : await files.open(path);
    },
  };
}

async function fetchEmbedded(
  file: Embedded,
  count: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<ByteSource> {
  const { path, size, sha256 } = file;
  const response = await fetch(addressOf(file), { ...(signal && { signal }) });
  if (!response.ok || !response.body) {
    throw new PaliGemmaError(
      "web/model",
      `${path} of the built-in model did not arrive (${response.status}). Check the connection and reload the page.`,
    );
  }
  const bytes = new Uint8Array(size);
  let filled = 0;
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (filled + part.value.length > size) break;
    bytes.set(part.value, filled);
    filled += part.value.length;
    count(part.value.length);
  }
  if (filled !== size || (await hash(bytes)) !== sha256) {
    throw new PaliGemmaError(
      "web/model",
      `${path} of the built-in model arrived damaged. Reload the page; if that does not help, clear its data in the browser's settings.`,
    );
  }
  return memorySource(bytes, path);
}

function folderFiles({ name, files }: Extract<ModelChoice, { kind: "folder" }>): ModelFiles {
  return filesOf(name, new Map(files.map(({ path, file }) => [path, blobSource(file, path)])));
}

function filesOf(name: string, sources: ReadonlyMap<string, ByteSource>): ModelFiles {
  return {
    name,
    paths: new Set(sources.keys()),
    open(path) {
      const source = sources.get(path);
      if (source) return Promise.resolve(source);
      const meant = nearest(path, sources.keys());
      return Promise.reject(
        new PaliGemmaError("weights/no-file", `${name} has no ${path}${meant ? `; the nearest is ${meant}` : ""}`),
      );
    },
  };
}

async function hash(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
