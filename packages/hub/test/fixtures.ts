import { mkdtemp, readdir, readFile, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { gitHash, sha256 } from "./stand-in.ts";

export { bytes, MODEL, NEEDED } from "./model.ts";

const root = await mkdtemp(join(tmpdir(), "hub-"));
let count = 0;
afterAll(() => rm(root, { recursive: true, force: true }));

/** A cache folder of its own. */
export function newCache(): string {
  return join(root, String(count++));
}

/** Throws where the cache holds anything that is not what its name says: every blob has its hash, every link leads to a blob. */
export async function checkCache(cache: string): Promise<{ readonly blobs: number; readonly links: number }> {
  let [blobs, links] = [0, 0];
  for (const repository of await readdir(cache).catch(() => [])) {
    if (!repository.startsWith("models--")) continue;
    for (const name of await readdir(join(cache, repository, "blobs")).catch(() => [])) {
      if (name.includes(".")) continue;
      const content = await readFile(join(cache, repository, "blobs", name));
      if ((name.length === 64 ? sha256(content) : gitHash(content)) !== name)
        throw new Error(`${name} holds other bytes`);
      blobs++;
    }
    const entries = await readdir(join(cache, repository, "snapshots"), { recursive: true, withFileTypes: true }).catch(
      () => [],
    );
    for (const entry of entries) {
      if (entry.isDirectory()) continue;
      await realpath(join(entry.parentPath, entry.name));
      links++;
    }
  }
  return { blobs, links };
}
