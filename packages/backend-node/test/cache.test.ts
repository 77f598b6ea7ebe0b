import { mkdtemp, open, readFile, readdir, realpath, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNodeBackend } from "@paligemma/backend-node";
import type { Backend } from "@paligemma/backend";
import { ndArray, toBfloat16, type DType } from "@paligemma/core";
import { buildGraph, cast, checkpointWeights, gather, linear, type GraphModel } from "@paligemma/graph";
import type { ByteSource, Checkpoint } from "@paligemma/weights";
import { afterEach, beforeEach, expect, test } from "vitest";

const [ROWS, WIDTH] = [512, 64];

let folder = "";
let cacheFolder = "";
let backend: Backend;

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "cache-")));
  cacheFolder = join(folder, "cache");
  backend = await createNodeBackend({ threads: 1, cacheFolder });
});
afterEach(async () => {
  await backend.dispose();
  await rm(folder, { recursive: true });
});

function checkpointOf(source: ByteSource, dtype: DType, rows: number, width: number): Checkpoint {
  const ref = { name: "weight", dtype, shape: [rows, width], source, start: 1, end: source.size };
  return { tensors: new Map([["weight", ref]]), metadata: {}, read: () => Promise.reject(new Error("unused")) };
}

/** A table in a file, at an odd offset: 0, 0.5, 1, … in bfloat16 */
async function table(name: string, dtype: "bfloat16" | "float32" = "bfloat16"): Promise<Checkpoint> {
  const values = Array.from({ length: ROWS * WIDTH }, (_, i) => (i % 97) / 2);
  const data = dtype === "bfloat16" ? Uint16Array.from(values, toBfloat16) : Float32Array.from(values);
  const path = join(folder, name);
  await writeFile(path, Buffer.concat([Buffer.of(0), Buffer.from(data.buffer)]));
  const source = { name: path, path, size: data.byteLength + 1, read: () => Promise.reject(new Error("mapped")) };
  return checkpointOf(source, dtype, ROWS, WIDTH);
}

/** Rows of the table, and the table as a head over them. */
function tied(checkpoint: Checkpoint): GraphModel {
  return buildGraph("tied", backend.target, (g) => {
    const w = checkpointWeights(g, checkpoint);
    const rows = cast(gather(w.stored("weight", [ROWS, WIDTH]), g.input("ids", "int64", ["n"])), "float32");
    return { y: linear(rows, w, ROWS) };
  });
}

async function result(on: Backend, model: GraphModel): Promise<Float32Array> {
  await using session = await on.compile(model);
  const { host } = await session.run({ ids: ndArray("int64", [2], BigInt64Array.of(3n, 500n)) }, { host: ["y"] });
  return host["y"]!.data as Float32Array;
}

test("gives the same numbers, and is written once", async () => {
  const model = tied(await table("model.safetensors"));
  await using plain = await createNodeBackend({ threads: 1 });
  const expected = await result(plain, model);
  expect(await result(backend, model)).toEqual(expected);
  const entries = await readdir(cacheFolder);
  expect(entries).toHaveLength(1);
  const written = await stat(join(cacheFolder, entries[0]!, "model.onnx"));
  expect(await result(backend, model)).toEqual(expected);
  expect(await readdir(cacheFolder)).toEqual(entries);
  expect((await stat(join(cacheFolder, entries[0]!, "model.onnx"))).mtimeMs).toBe(written.mtimeMs);
});

test("an entry is found by the path, size and time of the checkpoint, whose bytes are not read again", async () => {
  const checkpoint = await table("model.safetensors");
  const { path, size } = checkpoint.tensors.get("weight")!.source;
  const time = new Date("2026-01-01T00:00:00Z");
  await utimes(path!, time, time);
  const expected = await result(backend, tied(checkpoint));
  await writeFile(path!, Buffer.alloc(size));
  await utimes(path!, time, time);
  expect(await result(backend, tied(checkpoint))).toEqual(expected);
});

test("a checkpoint that was written again gets an entry of its own", async () => {
  const checkpoint = await table("model.safetensors");
  await result(backend, tied(checkpoint));
  const { path, size } = checkpoint.tensors.get("weight")!.source;
  await writeFile(path!, Buffer.alloc(size));
  await utimes(path!, new Date(), new Date(Date.now() + 5000));
  expect(new Set(await result(backend, tied(checkpoint)))).toEqual(new Set([0]));
  expect(await readdir(cacheFolder)).toHaveLength(2);
});

test("a broken entry is written again", async () => {
  const model = tied(await table("model.safetensors"));
  const expected = await result(backend, model);
  const [entry] = await readdir(cacheFolder);
  for (const file of ["weights.bin", "model.onnx", "entry.json"]) {
    await truncate(join(cacheFolder, entry!, file), 10);
    expect(await result(backend, model)).toEqual(expected);
  }
  expect(await readdir(cacheFolder)).toEqual([entry]);
});

test("two at once do not disturb each other", async () => {
  const model = tied(await table("model.safetensors"));
  await using other = await createNodeBackend({ threads: 1, cacheFolder });
  const [a, b, c] = await Promise.all([result(backend, model), result(other, model), result(backend, model)]);
  expect([b, c]).toEqual([a, a]);
  expect(await readdir(cacheFolder)).toHaveLength(1);
});

test("float32 checkpoints, and weights that are in no file, need none", async () => {
  await result(backend, tied(await table("model.safetensors", "float32")));
  const { source } = (await table("half.safetensors")).tensors.get("weight")!;
  const bytes = await readFile(source.path!);
  const memory = {
    name: "memory",
    size: bytes.length,
    read: (start: number, end: number) => Promise.resolve(new Uint8Array(bytes.subarray(start, end))),
  };
  await result(backend, tied(checkpointOf(memory, "bfloat16", ROWS, WIDTH)));
  await expect(readdir(cacheFolder)).rejects.toThrow("ENOENT");
});

test("a table that rows are looked up in stays as it is, and needs none", async () => {
  const checkpoint = await table("model.safetensors");
  const model = buildGraph("lookup", backend.target, (g) => {
    const w = checkpointWeights(g, checkpoint);
    return { y: cast(gather(w.stored("weight", [ROWS, WIDTH]), g.input("ids", "int64", ["n"])), "float32") };
  });
  await result(backend, model);
  expect(await readdir(cacheFolder).catch(() => [])).toEqual([]);
});

test("an aborted compile leaves nothing behind", async () => {
  const model = tied(await table("model.safetensors"));
  const controller = new AbortController();
  const compile = backend.compile(model, {
    signal: controller.signal,
    onProgress: () => setImmediate(() => controller.abort(new Error("enough"))),
  });
  await expect(compile).rejects.toThrow("enough");
  await expect.poll(() => readdir(cacheFolder).catch(() => [])).toEqual([]);
});

test("a folder that cannot be written to is an error", async () => {
  const file = join(folder, "file");
  await writeFile(file, "");
  await using blocked = await createNodeBackend({ threads: 1, cacheFolder: join(file, "cache") });
  await expect(blocked.compile(tied(await table("model.safetensors")))).rejects.toThrow("backend/cache");
});

test.runIf(process.platform === "linux")("weights of an entry are mapped", async () => {
  const [rows, width] = [8192, 4096];
  const path = join(folder, "big.safetensors");
  const size = rows * width * 2 + 1;
  {
    // Zeros that take no room on the disk.
    await using file = await open(path, "w");
    await file.truncate(size);
  }
  const checkpoint = checkpointOf(
    { name: path, path, size, read: () => Promise.reject(new Error("mapped")) },
    "bfloat16",
    rows,
    width,
  );
  const model = buildGraph("big", backend.target, (g) => ({
    y: linear(g.input("x", "float32", ["n", width]), checkpointWeights(g, checkpoint), rows),
  }));
  await (await backend.compile(model)).dispose();
  const privateBytes = async (): Promise<number> =>
    Number(/^Anonymous:\s+(\d+) kB$/m.exec(await readFile("/proc/self/smaps_rollup", "utf8"))![1]) * 1024;
  const before = await privateBytes();
  await using session = await backend.compile(model);
  await session.run({ x: ndArray("float32", [1, width], new Float32Array(width)) }, { host: ["y"] });
  expect((await privateBytes()) - before).toBeLessThan((rows * width * 4) / 2);
});
