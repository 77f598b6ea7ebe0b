import { fileURLToPath } from "node:url";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { folder } from "@paligemma/tiny-shapes";
import type { PaliGemma } from "paligemma";
import { loadPaliGemma } from "paligemma/node";
import { afterAll } from "vitest";
import { readScenes } from "../evaluation.ts";
import type { Scene } from "../score.ts";

/** The embedded model on the processor, and the scenes that it is evaluated with. */
export interface Embedded {
  readonly backend: Backend;
  readonly model: PaliGemma<Uint8Array | string | URL>;
  readonly scenes: readonly Scene[];
}

/** Opens the embedded model for the tests of a file, and disposes it after them. */
export async function openEmbedded(): Promise<Embedded> {
  const backend = await createNodeBackend();
  const model = await loadPaliGemma(fileURLToPath(folder), { backend });
  afterAll(async () => {
    await model.dispose();
    await backend.dispose();
  });
  return { backend, model, scenes: await readScenes() };
}

/** The file of a scene's picture. */
export function picture({ file }: Scene): URL {
  return new URL(`../evaluation/${file}`, import.meta.url);
}
