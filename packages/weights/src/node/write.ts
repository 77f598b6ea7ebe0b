import { mkdir, open, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import type { TensorRef } from "../checkpoint.ts";
import { planSafetensors, safetensorsPieces } from "../safetensors/write.ts";
import { atomically } from "./atomically.ts";

/** How to write. */
export interface WriteOptions {
  /** Strings for the header. Default `{ format: "pt" }`, which transformers wants to see. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Writes tensors to a safetensors file, one piece in memory at a time. The file appears under its name when it is complete
 * and on the disk; an abort or a failure leaves nothing behind.
 */
export async function writeSafetensors(
  path: string,
  refs: Iterable<TensorRef>,
  options: WriteOptions = {},
): Promise<void> {
  const plan = planSafetensors(refs, options.metadata);
  await atomically(path, async (temporary) => {
    await using file = await open(temporary, "wx");
    let done = 0;
    for await (const piece of safetensorsPieces(plan, options.signal)) {
      options.signal?.throwIfAborted();
      await file.writeFile(piece);
      done += piece.byteLength;
      options.onProgress?.({ task: `write ${basename(path)}`, done, total: plan.size, unit: "bytes" });
    }
    await file.sync();
  });
}

/** How to cut. Give one of the two. */
export interface ShardOptions extends WriteOptions {
  /** Number of files. Tensors are not cut, so there are fewer where there are fewer tensors. */
  readonly shards?: number;
  /** Bytes of tensors per file, unless one tensor alone has more. */
  readonly maxShardBytes?: number;
}

/**
 * Writes tensors to `model-00001-of-0000N.safetensors` and their `model.safetensors.index.json`, or to one `model.safetensors`
 * where one file is enough. Returns the names of the weight files. The index comes last.
 */
export async function writeShards(
  folder: string,
  refs: Iterable<TensorRef>,
  options: ShardOptions,
): Promise<readonly string[]> {
  const tensors = [...refs];
  const total = tensors.reduce((sum, ref) => sum + ref.end - ref.start, 0);
  const groups = group(tensors, total, options);
  const names = groups.map((_, i) =>
    groups.length === 1 ? "model.safetensors" : `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`,
  );
  await mkdir(folder, { recursive: true });
  for (const [i, shard] of groups.entries()) await writeSafetensors(join(folder, names[i]!), shard, options);
  if (groups.length > 1) {
    const map = Object.fromEntries(groups.flatMap((shard, i) => shard.map((ref) => [ref.name, names[i]!])));
    const index = JSON.stringify({ metadata: { total_size: total }, weight_map: map }, null, 2);
    await atomically(join(folder, "model.safetensors.index.json"), (temporary) =>
      writeFile(temporary, index, { flag: "wx" }),
    );
  }
  return names;
}

/** Consecutive tensors, at most `maxShardBytes` together. */
function group(tensors: readonly TensorRef[], total: number, options: ShardOptions): readonly (readonly TensorRef[])[] {
  const { shards, maxShardBytes } = options;
  if ((shards === undefined) === (maxShardBytes === undefined))
    throw new PaliGemmaError("weights/option", "give shards or maxShardBytes, one of the two");
  const groups: TensorRef[][] = [[]];
  let before = 0;
  let inGroup = 0;
  for (const ref of tensors) {
    const size = ref.end - ref.start;
    const full =
      shards !== undefined
        ? groups.length < shards && before >= (total * groups.length) / shards
        : inGroup + size > maxShardBytes!;
    if (full && groups.at(-1)!.length > 0) {
      groups.push([]);
      inGroup = 0;
    }
    groups.at(-1)!.push(ref);
    before += size;
    inGroup += size;
  }
  return groups;
}

const number = (n: number): string => String(n).padStart(5, "0");
