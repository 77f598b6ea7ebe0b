import { stat } from "node:fs/promises";
import { PaliGemmaError } from "@paligemma/core";
import type { Checkpoint } from "../checkpoint.ts";
import { fromBigVision } from "../npz/from-big-vision.ts";
import { openNpz } from "../npz/open.ts";
import { openModel } from "../open-model.ts";
import { openSafetensors } from "../safetensors/open.ts";
import { fileSource } from "./file-source.ts";
import { folderFiles } from "./folder-files.ts";

/**
 * The checkpoint at a path of this machine: a folder (see `openModel`) one `.safetensors`, or an
 * `.npz` of big_vision, which comes under released names. Reads headers only.
 * Throws `weights/no-file` where there is none.
 */
export async function openCheckpoint(
  path: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Checkpoint> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new PaliGemmaError("weights/no-file", `${path} is not there or not readable`, { cause });
  });
  if (found.isDirectory()) return openModel(await folderFiles(path), options);
  if (path.endsWith(".safetensors")) return openSafetensors(await fileSource(path), options);
  if (path.endsWith(".npz")) return fromBigVision(await openNpz(await fileSource(path), options));
  throw new PaliGemmaError("weights/no-file", `${path} is neither a folder nor a .safetensors nor an .npz file`);
}
