import { mkdir, mkdtemp, readFile, readdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Progress } from "@paligemma/core";
import { computedTensor, ndTensor, safetensorsBytes, type TensorRef } from "@paligemma/weights";
import { fileSource, folderFiles, openCheckpoint, writeSafetensors, writeShards } from "@paligemma/weights/node";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { randomArray, seeded } from "./random.ts";

const root = await mkdtemp(join(tmpdir(), "weights-"));
let folder = "";
let count = 0;
beforeEach(async () => {
  folder = join(root, String(count++));
  await mkdir(folder);
});
afterAll(() => rm(root, { recursive: true }));

const next = seeded(8);
const tensors = (n: number): readonly TensorRef[] =>
  Array.from({ length: n }, (_, i) => ndTensor(`t${i}`, randomArray(next, [3, 5], "float32")));

describe("fileSource", () => {
  it("reads ranges, and knows the real path", async () => {
    await writeFile(
      join(folder, "blob"),
      Uint8Array.from({ length: 100 }, (_, i) => i),
    );
    await symlink("blob", join(folder, "link"));
    const source = await fileSource(join(folder, "link"));
    expect(source).toMatchObject({ size: 100, name: join(folder, "link") });
    expect(source.path?.endsWith("/blob")).toBe(true);
    expect(await source.read(90, 95)).toEqual(Uint8Array.of(90, 91, 92, 93, 94));
    await expect(source.read(90, 101)).rejects.toMatchObject({ code: "weights/range" });
  });

  it("reads behind 4 GiB", async () => {
    const path = join(folder, "sparse");
    await writeFile(path, "");
    await truncate(path, 6 * 2 ** 30);
    const source = await fileSource(path);
    expect(source.size).toBe(6 * 2 ** 30);
    expect(await source.read(5 * 2 ** 30, 5 * 2 ** 30 + 3)).toEqual(new Uint8Array(3));
  });

  it("tells when the file was written to or replaced", async () => {
    const path = join(folder, "a");
    await writeFile(path, "one");
    const source = await fileSource(path);
    await rm(path);
    await writeFile(path, "two!");
    await expect(source.read(0, 3)).rejects.toMatchObject({ code: "weights/changed" });
  });

  it.each(["absent", "."])("tells that %s is no file", async (name) => {
    await expect(fileSource(join(folder, name))).rejects.toMatchObject({ code: "weights/no-file" });
  });
});

describe("folderFiles", () => {
  it("lists the folder and the folders in it, and opens nothing else", async () => {
    await mkdir(join(folder, "onnx"));
    await mkdir(join(folder, ".git"));
    for (const path of ["config.json", "onnx/decoder.onnx", ".git/config"]) await writeFile(join(folder, path), "x");
    const files = await folderFiles(folder);
    expect([...files.paths].toSorted()).toEqual(["config.json", "onnx/decoder.onnx"]);
    expect((await files.open("onnx/decoder.onnx")).size).toBe(1);
    await expect(files.open("../0/blob")).rejects.toMatchObject({ code: "weights/no-file" });
    await expect(files.open("confg.json")).rejects.toThrow("the nearest is config.json");
    await expect(folderFiles(join(folder, "absent"))).rejects.toMatchObject({ code: "weights/no-file" });
  });
});

describe("writing", () => {
  it("gives back what was written, from one file or several", async () => {
    const refs = tensors(7);
    for (const [name, options, files] of [
      ["one", { shards: 1 }, ["model.safetensors"]],
      [
        "three",
        { shards: 3 },
        ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"],
      ],
      [
        "by size",
        { maxShardBytes: 150 },
        Array.from({ length: 4 }, (_, i) => `model-0000${i + 1}-of-00004.safetensors`),
      ],
    ] as const) {
      expect(await writeShards(join(folder, name), refs, options)).toEqual(files);
      const checkpoint = await openCheckpoint(join(folder, name));
      expect(checkpoint.tensors.size).toBe(7);
      expect(checkpoint.metadata).toEqual({ format: "pt" });
      for (const ref of refs) {
        const { source, start, end } = checkpoint.tensors.get(ref.name)!;
        expect(await source.read(start, end)).toEqual(await ref.source.read(0, ref.end));
      }
    }
    await expect(writeShards(folder, refs, {})).rejects.toMatchObject({ code: "weights/option" });
  });

  it("writes the bytes that safetensorsBytes gives, and reports them", async () => {
    const refs = tensors(3);
    const progress: Progress[] = [];
    await writeSafetensors(join(folder, "a.safetensors"), refs, { onProgress: (report) => progress.push(report) });
    const bytes = await readFile(join(folder, "a.safetensors"));
    expect(new Uint8Array(bytes)).toEqual(await safetensorsBytes(refs));
    expect(progress.at(-1)).toEqual({
      task: "write a.safetensors",
      done: bytes.length,
      total: bytes.length,
      unit: "bytes",
    });
    expect((await openCheckpoint(join(folder, "a.safetensors"))).tensors.size).toBe(3);
  });

  it("leaves the old file and nothing else where it fails or is aborted", async () => {
    const path = join(folder, "a.safetensors");
    await writeFile(path, "old");
    const bad = computedTensor("bad", "float32", [1], async () => {
      throw new Error("no memory");
    });
    await expect(writeSafetensors(path, [...tensors(1), bad])).rejects.toThrow("no memory");
    await expect(
      writeSafetensors(path, tensors(1), { signal: AbortSignal.abort(new Error("enough")) }),
    ).rejects.toThrow("enough");
    expect(await readdir(folder)).toEqual(["a.safetensors"]);
    expect(await readFile(path, "utf8")).toBe("old");
  });

  it("opens nothing that is no checkpoint", async () => {
    await writeFile(join(folder, "a.bin"), "x");
    await expect(openCheckpoint(join(folder, "a.bin"))).rejects.toMatchObject({ code: "weights/no-file" });
    await expect(openCheckpoint(join(folder, "absent"))).rejects.toMatchObject({ code: "weights/no-file" });
  });
});
