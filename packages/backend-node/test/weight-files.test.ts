import { appendFile, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNodeBackend } from "@paligemma/backend-node";
import type { Backend } from "@paligemma/backend";
import { add, buildGraph, checkpointWeights, type GraphModel } from "@paligemma/graph";
import type { ByteSource, TensorRef } from "@paligemma/weights";
import { afterAll, beforeAll, expect, test } from "vitest";

let folder = "";
let backend: Backend;
const VALUES = Float32Array.of(1, 2, 3, 4);

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "weight-files-")));
  backend = await createNodeBackend({ threads: 1 });
});
afterAll(async () => {
  await backend.dispose();
  await rm(folder, { recursive: true });
});

async function fileSource(name: string, data: Float32Array = VALUES): Promise<ByteSource> {
  const path = join(folder, name);
  await writeFile(path, data);
  return {
    name: path,
    path,
    size: data.byteLength,
    read: () => Promise.reject(new Error("a file must be mapped, not read")),
  };
}

function memorySource(bytes: Uint8Array): ByteSource {
  return { name: "memory", size: bytes.byteLength, read: (start, end) => Promise.resolve(bytes.slice(start, end)) };
}

/** x + the tensors, each float32 [4] */
function sum(refs: readonly Pick<TensorRef, "source" | "start" | "end">[]): GraphModel {
  const tensors = new Map(
    refs.map((ref, i) => [`t${i}`, { name: `t${i}`, dtype: "float32" as const, shape: [4], ...ref }]),
  );
  const checkpoint = { tensors, metadata: {}, read: () => Promise.reject(new Error("unused")) };
  return buildGraph("sum", backend.target, (g) => {
    let y = g.input("x", "float32", [4]);
    for (const name of tensors.keys()) y = add(y, checkpointWeights(g, checkpoint).tensor(name, [4]));
    return { y };
  });
}

async function result(model: GraphModel): Promise<readonly number[]> {
  await using session = await backend.compile(model);
  const { host } = await session.run(
    { x: { dtype: "float32", shape: [4], data: new Float32Array(4) } },
    { host: ["y"] },
  );
  return Array.from(host["y"]!.data, Number);
}

test("files through links, in folders with spaces and other letters, are mapped", async () => {
  await mkdir(join(folder, "blobs"));
  await mkdir(join(folder, "snapshots ünïcode"));
  const source = await fileSource("blobs/1234");
  const path = join(folder, "snapshots ünïcode", "model.safetensors");
  await symlink("../blobs/1234", path);
  expect(await result(sum([{ source: { ...source, path }, start: 0, end: 16 }]))).toEqual([1, 2, 3, 4]);
});

test("several files and memory in one graph", async () => {
  const [a, b] = [await fileSource("a"), await fileSource("b")];
  const memory = memorySource(new Uint8Array(Float32Array.of(0, 10, 20, 30, 40).buffer));
  const refs = [
    { source: a, start: 0, end: 16 },
    { source: b, start: 0, end: 16 },
    { source: memory, start: 4, end: 20 },
  ];
  expect(await result(sum(refs))).toEqual([12, 24, 36, 48]);
  expect(await result(sum(refs.slice(2)))).toEqual([10, 20, 30, 40]);
});

test("where there are many small tensors, they are read together", async () => {
  const count = 40;
  const all = Float32Array.from({ length: 4 * count }, (_, i) => (i % 4) + 1);
  const mapped = await fileSource("many", all);
  const reads: (readonly [number, number])[] = [];
  const source: ByteSource = {
    ...mapped,
    read: (start, end) => {
      reads.push([start, end]);
      return Promise.resolve(new Uint8Array(all.buffer.slice(start, end)));
    },
  };
  const refs = Array.from({ length: count }, (_, i) => ({ source, start: i * 16, end: i * 16 + 16 }));
  expect(await result(sum(refs))).toEqual([count, 2 * count, 3 * count, 4 * count]);
  expect(reads).toEqual([[0, 16 * count]]);
});

test("a source may answer with a part of a bigger buffer", async () => {
  const pooled = Buffer.from(VALUES.buffer.slice(0));
  const shared = Buffer.alloc(64, 7);
  pooled.copy(shared, 13);
  const source: ByteSource = { name: "pool", size: 16, read: () => Promise.resolve(shared.subarray(13, 29)) };
  expect(await result(sum([{ source, start: 0, end: 16 }]))).toEqual([1, 2, 3, 4]);
  expect(shared.byteLength).toBe(64);
});

test("the folder of the process does not matter", async () => {
  const source = await fileSource("elsewhere");
  const before = process.cwd();
  process.chdir(folder);
  try {
    expect(await result(sum([{ source, start: 0, end: 16 }]))).toEqual([1, 2, 3, 4]);
  } finally {
    process.chdir(before);
  }
});

test("a file that changed or went since it was opened is an error", async () => {
  const grown = await fileSource("grown");
  await appendFile(grown.path!, "more");
  await expect(backend.compile(sum([{ source: grown, start: 0, end: 16 }]))).rejects.toThrow(
    /backend\/changed: .*had 16 bytes when it was opened and has 20 now/,
  );
  const gone = await fileSource("gone");
  await rm(gone.path!);
  await expect(backend.compile(sum([{ source: gone, start: 0, end: 16 }]))).rejects.toThrow(
    /backend\/changed: .*cannot be reached/,
  );
});

test("a range outside of the file, or not of the tensor's size, is an error", async () => {
  const source = await fileSource("short");
  for (const [start, end] of [
    [4, 20],
    [-1, 15],
    [0, 12],
  ] as const) {
    await expect(backend.compile(sum([{ source, start, end }]))).rejects.toThrow(
      /backend\/compile: t0 is said to be bytes/,
    );
  }
});
