import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { PaliGemmaError } from "@paligemma/core";
import type { ImageSource } from "@paligemma/processor/node";
import { folder as tinyShapes } from "@paligemma/tiny-shapes";
import type { PaliGemma } from "paligemma";
import { loadPaliGemma } from "paligemma/node";
import type { ModelOptions } from "./model-command.ts";
import { progressBar } from "./progress.ts";

/** PaliGemma as `paligemma/node` loads it: pictures may be bytes and paths. */
export type Model = PaliGemma<ImageSource>;

/** The name and the folder that `--model` means; without it the embedded model. Throws `cli/model`. */
export async function locateModel(given?: string): Promise<{ readonly name: string; readonly path: string }> {
  if (given === undefined) return { name: "tiny-shapes (embedded)", path: fileURLToPath(tinyShapes) };
  const found = await stat(given).catch(() => undefined);
  if (found?.isDirectory()) return { name: given, path: given };
  const what = found ? "is a file" : "is not there";
  throw new PaliGemmaError(
    "cli/model",
    `${given} ${what}; --model takes a folder with config.json, tokenizer.json and .safetensors`,
  );
}

/** Runs `use` with the model that the options name, and takes backend and model down afterwards. */
export async function withModel<T>(
  options: ModelOptions,
  signal: AbortSignal,
  use: (model: Model, name: string) => Promise<T>,
): Promise<T> {
  const { name, path } = await locateModel(options.model);
  await using backend: Backend = await createNodeBackend({
    device: options.device,
    ...(options.threads !== undefined && { threads: options.threads }),
  });
  await using model = await load(path, backend, signal);
  return await use(model, name);
}

async function load(path: string, backend: Backend, signal: AbortSignal): Promise<Model> {
  using bar = progressBar();
  return await loadPaliGemma(path, { backend, signal, onProgress: bar.onProgress });
}
