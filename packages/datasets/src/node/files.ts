import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { PaliGemmaError } from "@paligemma/core";

/** The most bytes of a file that describes one picture or one dataset's classes. */
const MAX_SMALL_FILE = 16 * 2 ** 20;

/** The bytes of a file, a chunk at a time; an abort ends it with its reason. */
export async function* fileChunks(path: string, signal?: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 18 })) {
    signal?.throwIfAborted();
    yield chunk as Buffer;
  }
}

/** Names, sizes and times of files, digested. */
export async function fileStamp(paths: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths) {
    const { size, mtimeMs } = await stat(path);
    hash.update(`${path}\n${size}\n${mtimeMs}\n`);
  }
  return hash.digest("hex");
}

/** The text of a small file; throws `datasets/file` where it is not there or too large to be what it should be. */
export async function readSmallFile(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_SMALL_FILE)
      throw new PaliGemmaError(
        "datasets/file",
        `${path} has ${size} bytes, more than the ${MAX_SMALL_FILE} of a file of annotations of one picture`,
      );
    return await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof PaliGemmaError) throw cause;
    throw new PaliGemmaError("datasets/file", `${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** Names of the files of a folder with one of the endings, sorted by code unit, so that the order is the same everywhere; none where there is no folder. */
export async function listFiles(folder: string, endings: readonly string[]): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory() && endings.some((ending) => entry.name.toLowerCase().endsWith(ending)))
      .map((entry) => entry.name)
      .toSorted((a, b) => (a < b ? -1 : 1));
  } catch {
    return [];
  }
}

/** True for a file that is there. */
export async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
}

/** True for a folder that is there. */
export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
}

/** Endings of pictures that are read. */
export const IMAGE_ENDINGS: readonly string[] = [".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".avif"];

/** The first of the paths below `folder` that is a file. */
export async function firstFile(folder: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) if (await isFile(join(folder, name))) return join(folder, name);
  return undefined;
}
