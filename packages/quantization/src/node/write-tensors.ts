import { open, type FileHandle } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import { feedbackFactors } from "../feedback.ts";
import { notFinite } from "../numbers.ts";
import type { BundlePlan, Piece } from "./bundle-plan.ts";
import { Progression, readState, writeState, type ErrorSums } from "./bundle-state.ts";
import { QuantizingThreads } from "./workers.ts";

/** How to write. */
export interface WriteTensorsOptions {
  readonly onProgress?: OnProgress;
  readonly signal: AbortSignal;
  readonly threads?: number;
}

const FILE = "model.safetensors";
/** Time between two notes of how far the work is, in milliseconds: what a kill can cost. */
const SAVE_MS = 1000;

/** More than any machine has cores for; a bigger number is a mistake. */
const MAX_THREADS = 1024;

/** Throws `quantization/option` for a number of threads that cannot be meant. */
export function checkThreads(threads: number | undefined): void {
  if (threads === undefined || (Number.isInteger(threads) && threads >= 1 && threads <= MAX_THREADS)) return;
  throw new PaliGemmaError(
    "quantization/option",
    `threads is ${String(threads)}, it may be a whole number from 1 to ${MAX_THREADS}`,
  );
}

/**
 * Writes the planned file into `folder`, or what an earlier run with the same `key` left undone, and returns the errors of its
 * matrices. As many pieces as twice the threads are in memory.
 */
export async function writeTensors(
  folder: string,
  plan: BundlePlan,
  key: string,
  { onProgress, signal, threads = availableParallelism() }: WriteTensorsOptions,
): Promise<readonly Readonly<ErrorSums>[]> {
  const state = await readState(folder, key, plan);
  const file = await reopen(join(folder, FILE), plan.size, state !== undefined).catch(() => undefined);
  await using output = file ?? (await open(join(folder, FILE), "w"));
  const progression = new Progression(plan.matrices.length, file ? state : undefined);
  if (!file) {
    await writeAt(output, plan.header, 0);
    await output.truncate(plan.size);
  }
  await using quantizing = await QuantizingThreads.start(threads);
  const stop = new AbortController();
  const stopping = AbortSignal.any([signal, stop.signal]);
  let next = progression.done;
  let written = plan.pieces.slice(0, next).reduce((sum, piece) => sum + sizeOf(piece), 0);
  const total = plan.pieces.reduce((sum, piece) => sum + sizeOf(piece), 0);
  let saved = performance.now();
  let saving: Promise<void> | undefined;

  async function save(): Promise<void> {
    const { done } = progression;
    const errors = progression.errors.map(([error, norm]) => [error, norm] as const);
    await output.datasync();
    await writeState(folder, { key, done, errors });
    saved = performance.now();
  }

  /** Takes piece after piece until there are none. */
  async function lane(thread: number): Promise<void> {
    while (next < plan.pieces.length) {
      stopping.throwIfAborted();
      const index = next++;
      const piece = plan.pieces[index]!;
      progression.finish(index, await writePiece(output, piece, quantizing, thread, stopping));
      written += sizeOf(piece);
      onProgress?.({ task: `write ${FILE}`, done: written, total, unit: "bytes" });
      if (performance.now() - saved < SAVE_MS) continue;
      await (saving ??= save().finally(() => (saving = undefined)));
    }
  }

  const lanes = Array.from({ length: 2 * threads }, (_, i) =>
    lane(i % threads).catch((error: unknown) => {
      stop.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(lanes);
  if (stop.signal.aborted) {
    // What was done until an interruption is not done again.
    if (signal.aborted) await save();
    throw signal.aborted ? signal.reason : stop.signal.reason;
  }
  await output.sync();
  return progression.errors;
}

/** The file of an earlier run; throws where there is none of that size, or it is not to be used. */
async function reopen(path: string, size: number, use: boolean): Promise<FileHandle> {
  const file = await open(path, "r+");
  if (use && (await file.stat()).size === size) return file;
  await file.close();
  throw new Error("another size");
}

async function writePiece(
  output: FileHandle,
  piece: Piece,
  quantizing: QuantizingThreads,
  thread: number,
  signal: AbortSignal,
): Promise<{ readonly matrix: number; readonly squaredError: number; readonly squaredNorm: number } | undefined> {
  const { ref } = piece;
  if (piece.kind === "copy") {
    await writeAt(output, await ref.source.read(piece.start, piece.end, signal), piece.at);
    return undefined;
  }
  const { format, moments, matrix, panelRows, firstRow, lastRow } = piece;
  const rowBytes = (ref.end - ref.start) / ref.shape[0]!;
  const bytes = await ref.source.read(ref.start + firstRow * rowBytes, ref.start + lastRow * rowBytes, signal);
  const shared = moments && { factors: sharedFactors(moments) };
  const panels = panelRows !== undefined && { panelRows };
  const job = { dtype: ref.dtype, bytes, width: ref.shape[1]!, format, ...panels, ...shared };
  const made = await quantizing.quantize(thread, job);
  if ("odd" in made) throw notFinite(ref, firstRow, made.odd);
  await writeAt(output, made.data, piece.dataAt);
  await writeAt(output, made.scales, piece.scalesAt);
  if (made.zeroPoints) await writeAt(output, made.zeroPoints, piece.zeroPointsAt);
  if (made.sums) await writeAt(output, made.sums, piece.sumsAt);
  return { matrix, squaredError: made.squaredError, squaredNorm: made.squaredNorm };
}

let latest: { readonly moments: Float32Array; readonly factors: Float32Array } | undefined;

/** Computed once for the pieces of a matrix, in memory that threads share. */
function sharedFactors(moments: Float32Array): Float32Array {
  if (latest?.moments !== moments) {
    const factors = new Float32Array(new SharedArrayBuffer(moments.byteLength));
    factors.set(feedbackFactors(moments));
    latest = { moments, factors };
  }
  return latest.factors;
}

/** Bytes that are read for a piece. */
function sizeOf(piece: Piece): number {
  if (piece.kind === "copy") return piece.end - piece.start;
  const { ref, firstRow, lastRow } = piece;
  return ((ref.end - ref.start) / ref.shape[0]!) * (lastRow - firstRow);
}

async function writeAt(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength;)
    done += (await file.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten;
}
