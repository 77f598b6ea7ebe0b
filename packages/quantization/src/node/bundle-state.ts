import { createHash, randomUUID } from "node:crypto";
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BlockScales } from "../blocks.ts";
import type { QuantizeOptions } from "../checkpoint.ts";
import type { BundlePlan } from "./bundle-plan.ts";

/** Squared error and squared norm of a matrix, so far. */
export type ErrorSums = [squaredError: number, squaredNorm: number];

/** How far a bundle has come: what is kept of an unfinished one. */
export interface BundleState {
  /** Says what it was made from; only the same work goes on. */
  readonly key: string;
  /** Pieces from the first one on whose bytes are on the disk. */
  readonly done: number;
  /** One for each matrix. */
  readonly errors: readonly Readonly<ErrorSums>[];
}

const FILE = "state.json";
/** Counted up when other bytes are written for the same weights. */
export const FORMAT = 2;

/**
 * Tells this work from every other: what is read (files by path, size and time), and what becomes of it (the header). Work on tensors that are in no file
 * is like no other: it always begins anew.
 */
export async function keyOf(plan: BundlePlan, { moments }: QuantizeOptions): Promise<string> {
  const files: unknown[] = [];
  for (const source of new Set(plan.sources.map((ref) => ref.source))) {
    if (source.path === undefined) return randomUUID();
    const { size, mtimeMs, ino } = await stat(source.path);
    files.push([source.path, size, mtimeMs, ino]);
  }
  const hash = createHash("sha256").update(JSON.stringify([FORMAT, files]));
  for (const [name, numbers] of moments ?? []) hash.update(name).update(numbers);
  return hash.update(plan.header).digest("hex");
}

/** What an earlier run left in `folder`, where it was at the same work. */
export async function readState(folder: string, key: string, plan: BundlePlan): Promise<BundleState | undefined> {
  try {
    const state = JSON.parse(await readFile(join(folder, FILE), "utf8")) as BundleState;
    const fits = state.key === key && state.done <= plan.pieces.length && state.errors.length === plan.matrices.length;
    return fits ? state : undefined;
  } catch {
    return undefined;
  }
}

/** Replaces the state in one step. The bytes that it speaks of must be on the disk. */
export async function writeState(folder: string, state: BundleState): Promise<void> {
  const next = join(folder, `${FILE}.next`);
  await writeFile(next, JSON.stringify(state), { flush: true });
  await rename(next, join(folder, FILE));
}

/** For work that is done. */
export async function removeState(folder: string): Promise<void> {
  for (const name of [FILE, `${FILE}.next`]) await rm(join(folder, name), { force: true });
}

/** Adds up what pieces tell, in their order, so that sums do not depend on which thread was first. */
export class Progression {
  done: number;
  readonly errors: ErrorSums[];
  readonly #waiting = new Map<
    number,
    (Pick<BlockScales, "squaredError" | "squaredNorm"> & { matrix: number }) | undefined
  >();

  constructor(matrices: number, from?: BundleState) {
    this.done = from?.done ?? 0;
    this.errors = from
      ? from.errors.map(([error, norm]) => [error, norm])
      : Array.from({ length: matrices }, () => [0, 0]);
  }

  /** Piece `index` is written; for rows of a matrix also what quantising cost. */
  finish(index: number, cost?: Pick<BlockScales, "squaredError" | "squaredNorm"> & { readonly matrix: number }): void {
    this.#waiting.set(index, cost);
    for (; this.#waiting.has(this.done); this.done++) {
      const own = this.#waiting.get(this.done);
      this.#waiting.delete(this.done);
      if (!own) continue;
      this.errors[own.matrix]![0] += own.squaredError;
      this.errors[own.matrix]![1] += own.squaredNorm;
    }
  }
}
