import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { isPaliGemmaError, type OnProgress } from "@paligemma/core";
import { LIMITS, openModel, openSafetensors, weightPaths, type ByteSource, type ModelFiles } from "@paligemma/weights";
import { atomically, fileSource } from "@paligemma/weights/node";
import type { QuantizeOptions } from "../checkpoint.ts";
import { planBundle } from "./bundle-plan.ts";
import { FORMAT } from "./bundle-state.ts";
import { writeBundle } from "./write-bundle.ts";

/** What to make of a model's weights, and where it is kept. */
export interface QuantizedFilesOptions extends Omit<QuantizeOptions, "moments"> {
  /** Default: `defaultCacheFolder()`. Nothing in it is ever removed; delete it at will. */
  readonly cacheFolder?: string;
  /** Threads that compute. Default: one per core. */
  readonly threads?: number;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

const WEIGHTS = "model.safetensors";

/** `PALIGEMMA_CACHE`, else `paligemma` in `XDG_CACHE_HOME`, else `~/.cache/paligemma`. Empty variables count as unset. */
export function defaultCacheFolder(variables: Readonly<Record<string, string | undefined>> = process.env): string {
  const given = (name: string): string | undefined => variables[name] || undefined;
  const home = given("XDG_CACHE_HOME") ?? join(given("HOME") ?? homedir(), ".cache");
  return given("PALIGEMMA_CACHE") ?? join(home, "paligemma");
}

/**
 * The same model with its weights quantised: written to the cache the first time, found there afterwards. An entry belongs to the
 * content of the weights and to the options, wherever the files lie; files that did not change are not read again to know
 * that. An entry appears when it is whole; of several processes one writes it and the others wait; after a kill the next one goes on.
 * Throws `quantization/option`, `quantization/nothing` (also for weights that are quantised already), and what reading and writing throw.
 */
export async function quantizedFiles(files: ModelFiles, options: QuantizedFilesOptions): Promise<ModelFiles> {
  const { cacheFolder = defaultCacheFolder(), threads, onProgress, signal, ...how } = options;
  const paths = await weightPaths(files, signal);
  // Throws for what cannot be quantised, before anything large is read.
  const { header } = planBundle(await openModel(files, signal ? { signal } : {}), how);
  const folder = join(cacheFolder, "quantized");
  await mkdir(folder, { recursive: true });
  const key = createHash("sha256").update(JSON.stringify(FORMAT)).update(header);
  for (const path of paths) {
    const source = await files.open(path, signal);
    key.update(`${path} ${await contentHash(source, join(folder, "hashes"), { onProgress, signal })}\n`);
  }
  const entry = join(folder, key.digest("hex").slice(0, 32));
  if (!(await isWhole(entry))) {
    const writing = { ...how, ...(threads !== undefined && { threads }), ...(onProgress && { onProgress }) };
    const only: ModelFiles = { name: files.name, paths: new Set(paths), open: (path, stop) => files.open(path, stop) };
    await writeBundle(entry, only, { ...writing, ...(signal && { signal }) }).catch((error: unknown) => {
      // Somebody else was first.
      if (!isPaliGemmaError(error, "quantization/exists")) throw error;
    });
  }
  const kept = [...files.paths].filter((path) => !paths.includes(path));
  return {
    name: `${files.name} in ${how.dtype}`,
    paths: new Set([...kept, WEIGHTS]),
    open: (path, stop) => (path === WEIGHTS ? fileSource(join(entry, WEIGHTS)) : files.open(path, stop)),
  };
}

/** True for an entry that was written to its end. One that was damaged since is taken away. */
async function isWhole(entry: string): Promise<boolean> {
  if ((await stat(entry).catch(() => undefined)) === undefined) return false;
  try {
    await openSafetensors(await fileSource(join(entry, WEIGHTS)));
    return true;
  } catch {
    const broken = `${entry}.${process.pid}.broken`;
    await rename(entry, broken);
    await rm(broken, { recursive: true, force: true });
    return false;
  }
}

/** What is remembered of a file, so that it is hashed once. */
interface Remembered {
  readonly size: number;
  readonly modified: number;
  readonly inode: number;
  readonly sha256: string;
}

/** SHA-256 of a file; remembered in `folder` as long as size, time and inode are the same. */
async function contentHash(
  source: ByteSource,
  folder: string,
  { onProgress, signal }: { readonly onProgress: OnProgress | undefined; readonly signal: AbortSignal | undefined },
): Promise<string> {
  const now = source.path === undefined ? undefined : await stat(source.path);
  const note = now && join(folder, `${createHash("sha256").update(source.path!).digest("hex").slice(0, 32)}.json`);
  const known = note && (await readNote(note));
  if (known && known.size === now.size && known.modified === now.mtimeMs && known.inode === now.ino)
    return known.sha256;
  const hash = createHash("sha256");
  for (let at = 0; at < source.size; at += LIMITS.pieceBytes / 8) {
    const end = Math.min(source.size, at + LIMITS.pieceBytes / 8);
    hash.update(await source.read(at, end, signal));
    onProgress?.({ task: `identify ${source.name}`, done: end, total: source.size, unit: "bytes" });
  }
  const sha256 = hash.digest("hex");
  if (note && now) {
    await mkdir(folder, { recursive: true });
    const remembered: Remembered = { size: now.size, modified: now.mtimeMs, inode: now.ino, sha256 };
    await atomically(note, (temporary) => writeFile(temporary, JSON.stringify(remembered)));
  }
  return sha256;
}

async function readNote(path: string): Promise<Remembered | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Remembered;
  } catch {
    return undefined;
  }
}
