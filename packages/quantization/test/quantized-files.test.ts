import { cp, mkdir, mkdtemp, readdir, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultCacheFolder, quantizedFiles } from "@paligemma/quantization/node";
import { openModel, type ModelFiles } from "@paligemma/weights";
import { folderFiles, writeSafetensors, writeShards } from "@paligemma/weights/node";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { gaussian, tensorOf } from "./matrices.ts";

const TABLE = "language_model.model.embed_tokens.weight";
const root = await mkdtemp(join(tmpdir(), "paligemma-quantized-"));
afterAll(() => rm(root, { recursive: true }));

let folder = "";
let from = "";
let cacheFolder = "";
let count = 0;
const tensors = (seed: number): ReturnType<typeof tensorOf>[] => [
  tensorOf(TABLE, gaussian([300, 96], seed), "bfloat16"),
  tensorOf("language_model.model.norm.weight", gaussian([96], 2)),
];
beforeEach(async () => {
  folder = join(root, String(count++));
  [from, cacheFolder] = [join(folder, "from"), join(folder, "cache")];
  await mkdir(from, { recursive: true });
  await writeSafetensors(join(from, "model.safetensors"), tensors(1));
  for (const name of ["config.json", "tokenizer.json"]) await writeFile(join(from, name), name);
});

const entries = async (): Promise<readonly string[]> =>
  (await readdir(join(cacheFolder, "quantized"))).filter((name) => name !== "hashes");

/** The same files, counting the bytes that are read of the weights. */
async function counted(path = from): Promise<{ readonly files: ModelFiles; bytes: number }> {
  const files = await folderFiles(path);
  const made = {
    bytes: 0,
    files: {
      ...files,
      open: async (name: string) => {
        const source = await files.open(name);
        const read: typeof source.read = (start, end, signal) => {
          made.bytes += end - start;
          return source.read(start, end, signal);
        };
        return { ...source, read };
      },
    },
  };
  return made;
}

/** Bytes of all tensors of the checkpoint. */
const BYTES = 300 * 96 * 2 + 96 * 4;

describe("quantizedFiles", () => {
  it("is the same model with other weights, written once", async () => {
    const first = await quantizedFiles(await folderFiles(from), { dtype: "int4", cacheFolder });
    expect([...first.paths].toSorted()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    expect([...(await openModel(first)).tensors.keys()]).toContain(`${TABLE}.int4`);
    expect((await first.open("config.json")).path).toMatch(/from.config\.json$/);
    const { path } = await first.open("model.safetensors");
    const before = await stat(path!);
    const again = await counted();
    const second = await quantizedFiles(again.files, { dtype: "int4", cacheFolder });
    expect(again.bytes).toBeLessThan(BYTES / 10);
    expect((await second.open("model.safetensors")).path).toBe(path);
    expect((await stat(path!)).mtimeMs).toBe(before.mtimeMs);
    expect(await entries()).toHaveLength(1);
  });

  it("goes by content: a copy, a touched file and a new tokenizer find the entry, other weights do not", async () => {
    const paths = new Set<string | undefined>();
    const take = async (of: string): Promise<number> => {
      const files = await quantizedFiles(await folderFiles(of), { dtype: "int8", cacheFolder });
      paths.add((await files.open("model.safetensors")).path);
      return paths.size;
    };
    await take(from);
    await cp(from, join(folder, "copy"), { recursive: true });
    expect(await take(join(folder, "copy"))).toBe(1);
    await utimes(join(from, "model.safetensors"), new Date(), new Date(Date.now() - 60_000));
    expect(await take(from)).toBe(1);
    await writeFile(join(from, "tokenizer.json"), "another");
    expect(await take(from)).toBe(1);
    await writeSafetensors(join(from, "model.safetensors"), tensors(7));
    expect(await take(from)).toBe(2);
  });

  it("one entry for each precision and each choice", async () => {
    const files = await folderFiles(from);
    for (const how of [{ dtype: "int8" }, { dtype: "int4" }, { dtype: "int4", zeroPoints: true }] as const)
      await quantizedFiles(files, { ...how, cacheFolder });
    expect(await entries()).toHaveLength(3);
  });

  it("several at once write one entry", async () => {
    const made = await Promise.all(
      [1, 2, 3].map(async () => quantizedFiles(await folderFiles(from), { dtype: "int8", cacheFolder, threads: 1 })),
    );
    const paths = await Promise.all(made.map(async (files) => (await files.open("model.safetensors")).path));
    expect(new Set(paths).size).toBe(1);
    expect(await entries()).toHaveLength(1);
  });

  it("an entry that was damaged is written again", async () => {
    const make = async (): Promise<string> =>
      (await (await quantizedFiles(await folderFiles(from), { dtype: "int8", cacheFolder })).open("model.safetensors"))
        .path!;
    const path = await make();
    const { size } = await stat(path);
    await truncate(path, 100);
    expect(await make()).toBe(path);
    expect((await stat(path)).size).toBe(size);
    expect(await entries()).toHaveLength(1);
  });

  it("takes shards, and refuses what is quantised already before it reads anything large", async () => {
    const sharded = join(folder, "sharded");
    await writeShards(sharded, tensors(1), { shards: 2 });
    const files = await quantizedFiles(await folderFiles(sharded), { dtype: "int8", cacheFolder });
    expect([...files.paths]).toEqual(["model.safetensors"]);
    const again = await counted(sharded);
    await expect(quantizedFiles(files, { dtype: "int4", cacheFolder })).rejects.toThrow(
      /quantization\/nothing: .*quantised already/,
    );
    await expect(quantizedFiles(again.files, { dtype: "int3" as "int4", cacheFolder })).rejects.toThrow(
      "quantization/option",
    );
    expect(again.bytes).toBeLessThan(BYTES / 2);
  });

  it("an abort leaves what the next call goes on from", async () => {
    const stop = AbortSignal.abort(new Error("enough"));
    await expect(quantizedFiles(await folderFiles(from), { dtype: "int8", cacheFolder, signal: stop })).rejects.toThrow(
      "enough",
    );
    await quantizedFiles(await folderFiles(from), { dtype: "int8", cacheFolder });
    expect(await entries()).toHaveLength(1);
  });
});

it("keeps things where caches are kept", () => {
  expect(defaultCacheFolder({ HOME: "/home/a" })).toBe(join("/home/a", ".cache", "paligemma"));
  expect(defaultCacheFolder({ HOME: "/home/a", XDG_CACHE_HOME: "/x", PALIGEMMA_CACHE: "" })).toBe(
    join("/x", "paligemma"),
  );
  expect(defaultCacheFolder({ HOME: "/home/a", PALIGEMMA_CACHE: "/c" })).toBe("/c");
});
