import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import { looksLikeRepository, remoteFiles } from "@paligemma/hub";
import { openFiles, readEnvironment } from "@paligemma/hub/node";
import type { ImageSource } from "@paligemma/processor/node";
import { folder as tinyShapes } from "@paligemma/tiny-shapes";
import type { ModelFiles } from "@paligemma/weights";
import { folderFiles } from "@paligemma/weights/node";
import type { PaliGemma } from "paligemma";
import { loadPaliGemma } from "paligemma/node";
import type { ModelOptions } from "./model-command.ts";
import { tellProfile } from "./profile.ts";
import { progressBar } from "./progress.ts";
import { openFilesOrFile } from "./single-file.ts";

/** PaliGemma as `paligemma/node` loads it: pictures may be bytes and paths. */
export type Model = PaliGemma<ImageSource>;

/** A model's files and what to call them. */
export interface NamedFiles {
  readonly name: string;
  readonly files: ModelFiles;
}

/** The files that `--model` means: a folder, a repository of the Hub (downloaded as it is read), or the embedded model. */
export async function openFilesOf(
  given: string | undefined,
  options: { readonly signal: AbortSignal; readonly onProgress: OnProgress },
): Promise<NamedFiles> {
  if (given === undefined) return { name: EMBEDDED, files: await folderFiles(fileURLToPath(tinyShapes)) };
  return { name: given, files: await openFiles(given, options) };
}

/** The same for a look at headers: a repository of the Hub is read where it lies, unless the Hub is to be left alone. */
export async function lookAtFilesOf(given: string | undefined, signal: AbortSignal): Promise<NamedFiles> {
  const { offline, token, endpoint } = await readEnvironment();
  if (given === undefined || offline || existsSync(given) || !looksLikeRepository(given)) {
    const options = { signal, onProgress: () => {} };
    if (given === undefined) return await openFilesOf(given, options);
    return { name: given, files: await openFilesOrFile(given, options) };
  }
  const files = await remoteFiles(given, {
    signal,
    ...(token !== undefined && { token }),
    ...(endpoint !== undefined && { endpoint }),
  });
  return { name: given, files };
}

/** What the model is called that comes along. */
export const EMBEDDED = "tiny-shapes (embedded)";

/** Runs `use` with the model that the options name, and takes backend and model down afterwards. */
export async function withModel<T>(
  options: ModelOptions,
  signal: AbortSignal,
  use: (model: Model, name: string) => Promise<T>,
): Promise<T> {
  const { device, threads, profileOut } = options;
  const profile = options.profile === true || profileOut !== undefined;
  await using backend = await createNodeBackend({
    device,
    ...(threads !== undefined && { threads }),
    ...(profile && { profile }),
  });
  const { model, name } = await load(options, backend, signal);
  try {
    const result = await use(model, name);
    if (profile) await tellProfile(await backend.endProfile(), options);
    return result;
  } finally {
    await model.dispose();
  }
}

async function load(
  { model: given, dtype, cache }: ModelOptions,
  backend: Backend,
  signal: AbortSignal,
): Promise<{ readonly model: Model; readonly name: string }> {
  if (cache !== undefined && dtype === undefined)
    throw new PaliGemmaError("cli/usage", "--cache is where quantised weights are kept; add --dtype, or leave it out");
  using bar = progressBar();
  const { onProgress } = bar;
  const { name, files } = await openFilesOf(given, { signal, onProgress });
  const precision = dtype && { dtype, ...(cache !== undefined && { cacheFolder: cache }) };
  return { name, model: await loadPaliGemma(files, { backend, signal, onProgress, ...precision }) };
}
