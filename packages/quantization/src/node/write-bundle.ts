import { mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import { LIMITS, openModel, type ByteSource, type ModelFiles } from "@paligemma/weights";
import { withLock } from "@paligemma/weights/node";
import { relativeError } from "../blocks.ts";
import { DEFAULT_VISION, type QuantizedMatrix, type QuantizeOptions } from "../checkpoint.ts";
import { planBundle, type BundlePlan } from "./bundle-plan.ts";
import { keyOf, removeState, type ErrorSums } from "./bundle-state.ts";
import { checkThreads, writeTensors } from "./write-tensors.ts";

/** How to write. */
export interface WriteBundleOptions extends QuantizeOptions {
  /** Threads that compute. Default: one per core. The bytes do not depend on it. */
  readonly threads?: number;
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
 * (configuration, tokenizer, mask codec) and `quantization.json`, which says what was done. A few megabytes per thread are in
 * memory at a time. The folder appears under its name when it is complete; it must not exist. A run that was killed or aborted
 * leaves `.name.partial` beside it, and the same call goes on from there, to the same bytes. One process at a time writes a
 * folder; others wait. Throws `quantization/exists`, `quantization/option`, `quantization/nothing`, and what reading and writing throw.
 */
export async function writeBundle(folder: string, files: ModelFiles, options: WriteBundleOptions): Promise<Bundle> {
  const { onProgress, signal, threads, ...how } = options;
  checkThreads(threads);
  signal?.throwIfAborted();
  const path = resolve(folder);
  await mustBeFree(path);
  const plan = planBundle(await openModel(files, signal ? { signal } : {}), how);
  return await withLock(join(dirname(path), `.${basename(path)}.lock`), signal, async (held) => {
    await mustBeFree(path);
    const partial = join(dirname(path), `.${basename(path)}.partial`);
    await mkdir(partial, { recursive: true });
    try {
      const key = await keyOf(plan, how);
      const writing = { signal: held, ...(onProgress && { onProgress }), ...(threads !== undefined && { threads }) };
      const errors = await writeTensors(partial, plan, key, writing);
      return await finish(path, partial, files, {
        plan,
        how,
        errors,
        signal: held,
      });
    } catch (error) {
      // What was interrupted goes on another time; what failed would fail again.
      if (!held.aborted) await rm(partial, { recursive: true, force: true });
      throw error;
    }
  });
}

/** Puts beside the tensors what belongs to them, and gives the folder its name. */
async function finish(
  path: string,
  partial: string,
  files: ModelFiles,
  made: {
    readonly plan: BundlePlan;
    readonly how: QuantizeOptions;
    readonly errors: readonly Readonly<ErrorSums>[];
    readonly signal: AbortSignal;
  },
): Promise<Bundle> {
  const { plan, how, errors, signal } = made;
  const companions = [...files.paths].filter((name) => COMPANION.test(name)).toSorted();
  for (const name of companions) await copy(await files.open(name, signal), join(partial, name), signal);
  const matrices = plan.matrices.map((matrix, i) => {
    const [squaredError, squaredNorm] = errors[i]!;
    return { ...matrix, relativeError: relativeError({ squaredError, squaredNorm }) };
  });
  await writeFile(join(partial, "quantization.json"), describe(how, matrices), { flush: true });
  await removeState(partial);
  await rename(partial, path);
  return { matrices, files: [...companions, "model.safetensors", "quantization.json"], bytes: plan.bytes };
}

function describe(
  { dtype, vision = DEFAULT_VISION, moments }: QuantizeOptions,
  matrices: readonly BundleMatrix[],
): string {
  const rows = matrices.map(({ name, relativeError: error, ...row }) => [
    name,
    { ...row, relativeError: Number(error.toPrecision(3)) },
  ]);
  return `${JSON.stringify({ version: 1, dtype, vision, calibrated: moments !== undefined, matrices: Object.fromEntries(rows) }, null, 1)}\n`;
}

/** An empty folder may be taken: renaming replaces it. */
async function mustBeFree(path: string): Promise<void> {
  const there = await readdir(path).catch((error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? [] : ["it"]));
  if (there.length === 0) return;
  throw new PaliGemmaError("quantization/exists", `${path} is there already and is not replaced; name another folder`);
}

async function copy(source: ByteSource, path: string, signal: AbortSignal | undefined): Promise<void> {
  await using file = await open(path, "w");
  for (let at = 0; at < source.size; at += LIMITS.pieceBytes) {
    await file.writeFile(await source.read(at, Math.min(source.size, at + LIMITS.pieceBytes), signal));
  }
  await file.sync();
}
