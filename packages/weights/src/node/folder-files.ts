import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { nearest, PaliGemmaError } from "@paligemma/core";
import { LIMITS } from "../limits.ts";
import type { ModelFiles } from "../model-files.ts";
import { fileSource } from "./file-source.ts";

/** The files of a folder (a path or a file: URL) and of the folders directly inside it. Throws `weights/no-file`, or `weights/limit` for too many. */
export async function folderFiles(from: string | URL): Promise<ModelFiles> {
  const folder = from instanceof URL ? fileURLToPath(from) : from;
  const paths = new Set<string>();
  const add = (path: string): void => {
    paths.add(path);
    if (paths.size > LIMITS.folderFiles)
      throw new PaliGemmaError(
        "weights/limit",
        `${folder} has more than ${LIMITS.folderFiles} files; is it the folder of one model?`,
      );
  };
  for (const entry of await list(folder)) {
    if (entry.name.startsWith(".")) continue;
    if (!entry.isDirectory()) add(entry.name);
    else
      for (const inner of await list(join(folder, entry.name)))
        if (!inner.isDirectory()) add(`${entry.name}/${inner.name}`);
  }
  return {
    name: folder,
    paths,
    open: async (path, signal) => {
      signal?.throwIfAborted();
      if (paths.has(path)) return fileSource(resolve(folder, path));
      const meant = nearest(path, paths);
      throw new PaliGemmaError(
        "weights/no-file",
        `${folder} has no ${path}${meant ? `; the nearest is ${meant}` : ""}`,
      );
    },
  };
}

async function list(folder: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    throw new PaliGemmaError("weights/no-file", `${folder} is no folder that can be read`, { cause });
  }
}
