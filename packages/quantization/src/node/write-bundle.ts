import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import { LIMITS, openModel, type ByteSource, type ModelFiles } from "@paligemma/weights";
import { writeSafetensors } from "@paligemma/weights/node";
import { quantizeCheckpoint, type QuantizedMatrix, type QuantizeOptions } from "../checkpoint.ts";

/** How to write. */
export interface WriteBundleOptions extends QuantizeOptions {
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** A matrix of a bundle and what packing cost it. */
export interface BundleMatrix extends QuantizedMatrix {
  /** ‖W − Ŵ‖ / ‖W‖, Frobenius. */
  readonly relativeError: number;
}

/** What was written. */
export interface Bundle {
  readonly matrices: readonly BundleMatrix[];
  /** Files of the folder. */
  readonly files: readonly string[];
  /** Bytes of all tensors. */
  readonly bytes: number;
}

/** What goes along unchanged. Other files of a folder are no part of a model, or are weights. */
const COMPANION =
  /^(?:(?:config|generation_config|preprocessor_config|processor_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens)\.json|tokenizer\.model|mask-codec\.safetensors|vae-oid\.npz|chat_template\.\w+|LICENSE[.\w]*|NOTICE[.\w]*)$/;

/**
 * Writes a quantised checkpoint as a folder that loads like any other: `model.safetensors`, the companions of the weights
 * (configuration, tokenizer, mask codec) and `quantization.json`, which says what was done. A few megabytes and the scales of
 * one group of matrices are in memory at a time. The folder appears under its name when it is complete; it must not exist.
 * Throws `quantization/exists`, `quantization/option`, `quantization/nothing`, and what reading and writing throw.
 */
export async function writeBundle(folder: string, files: ModelFiles, options: WriteBundleOptions): Promise<Bundle> {
  const { onProgress, signal, ...how } = options;
  const path = resolve(folder);
  await mustBeFree(path);
  const errors = new Map<string, number>();
  const checkpoint = await openModel(files, signal ? { signal } : {});
  const { tensors, matrices } = quantizeCheckpoint(checkpoint, how, (name, error) => errors.set(name, error));

  const partial = join(dirname(path), `.${basename(path)}.${randomUUID()}.partial`);
  await mkdir(partial, { recursive: true });
  try {
    const companions = [...files.paths].filter((name) => COMPANION.test(name)).toSorted();
    for (const name of companions) await copy(await files.open(name, signal), join(partial, name), signal);
    await writeSafetensors(join(partial, "model.safetensors"), tensors, {
      metadata: { format: "pt", quantization: how.dtype },
      ...(onProgress && { onProgress }),
      ...(signal && { signal }),
    });
    const made = matrices.map((matrix) => ({ ...matrix, relativeError: errors.get(matrix.name)! }));
    await writeFile(join(partial, "quantization.json"), describe(how, made), { flush: true });
    await rename(partial, path);
    const bytes = tensors.reduce((sum, { start, end }) => sum + end - start, 0);
    return { matrices: made, files: [...companions, "model.safetensors", "quantization.json"], bytes };
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

function describe({ dtype, vision = "keep" }: QuantizeOptions, matrices: readonly BundleMatrix[]): string {
  const rows = matrices.map(({ name, relativeError, ...row }) => [
    name,
    { ...row, relativeError: Number(relativeError.toPrecision(3)) },
  ]);
  return `${JSON.stringify({ version: 1, dtype, vision, matrices: Object.fromEntries(rows) }, null, 1)}\n`;
}

/** An empty folder may be taken: renaming replaces it. */
async function mustBeFree(path: string): Promise<void> {
  const there = await readdir(path).catch((error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? [] : ["it"]));
  if (there.length === 0) return;
  throw new PaliGemmaError("quantization/exists", `${path} is there already and is not replaced; name another folder`);
}

async function copy(source: ByteSource, path: string, signal: AbortSignal | undefined): Promise<void> {
  await using file = await open(path, "wx");
  for (let at = 0; at < source.size; at += LIMITS.pieceBytes) {
    await file.writeFile(await source.read(at, Math.min(source.size, at + LIMITS.pieceBytes), signal));
  }
  await file.sync();
}
