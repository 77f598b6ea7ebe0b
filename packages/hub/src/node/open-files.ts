import { stat } from "node:fs/promises";
import { PaliGemmaError } from "@paligemma/core";
import { weightPaths, type ModelFiles } from "@paligemma/weights";
import { folderFiles } from "@paligemma/weights/node";
import { looksLikeRepository } from "../repository.ts";
import { hubFiles, type CachedHubOptions, type HubFiles } from "./hub-files.ts";

/**
 * The files of a model: a folder of this machine if there is one of that name, else a repository of the Hub, "owner/name" or
 * "owner/name@revision". Throws `hub/name` where it can be neither, and what `hubFiles` and `folderFiles` throw.
 */
export async function openFiles(from: string, options: CachedHubOptions = {}): Promise<ModelFiles> {
  const found = await stat(from).catch(() => undefined);
  if (found?.isDirectory()) return folderFiles(from);
  if (found === undefined && looksLikeRepository(from)) return hubFiles(from, options);
  throw new PaliGemmaError(
    "hub/name",
    `${from} is neither a folder of this machine nor a repository of the Hub, owner/name or owner/name@revision`,
  );
}

/** Small files that say what a model is and how its inputs are made. */
export const DESCRIPTIONS: readonly string[] = [
  "config.json",
  "generation_config.json",
  "preprocessor_config.json",
  "processor_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
];

/** Downloads what it takes to run the model, and nothing else of the repository: descriptions, tokenizer, safetensors. */
export async function downloadModel(files: HubFiles, signal?: AbortSignal): Promise<void> {
  await files.download(
    [...DESCRIPTIONS.filter((path) => files.paths.has(path)), ...(await weightPaths(files, signal))],
    signal,
  );
}
