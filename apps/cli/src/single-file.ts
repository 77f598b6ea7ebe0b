import { existsSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { presetOfTensors, presets, type PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import { DESCRIPTIONS, openFiles } from "@paligemma/hub/node";
import type { Checkpoint, ModelFiles } from "@paligemma/weights";
import { folderFiles } from "@paligemma/weights/node";

/** Small files that go with the weights. */
export const COMPANIONS: readonly string[] = [...DESCRIPTIONS, "tokenizer.model"];
/** The token table again, which some files hold as the output layer too. */
export const HEAD = "language_model.lm_head.weight";

/** As `openFiles`, and a single file of weights with what lies beside it. */
export async function openFilesOrFile(
  from: string,
  options: { readonly signal: AbortSignal; readonly onProgress: OnProgress },
): Promise<ModelFiles> {
  if (!/\.(?:npz|safetensors)$/.test(from) || !existsSync(from) || statSync(from).isDirectory())
    return openFiles(from, options);
  const folder = await folderFiles(dirname(from));
  const paths = new Set([...COMPANIONS.filter((path) => folder.paths.has(path)), basename(from)]);
  return { name: from, paths, open: (path, signal) => folder.open(path, signal) };
}

/** The released size that has exactly these tensors. Throws `cli/config` where there is none. */
export function guessConfig(checkpoint: Checkpoint, name: string): PaliGemmaConfig {
  const preset = presetOfTensors(
    new Map([...checkpoint.tensors.values()].filter((ref) => ref.name !== HEAD).map((ref) => [ref.name, ref.shape])),
  );
  if (preset) return presets[preset];
  throw new PaliGemmaError(
    "cli/config",
    `${name} has no config.json and is no released size; name a model with the same networks by --like`,
  );
}
