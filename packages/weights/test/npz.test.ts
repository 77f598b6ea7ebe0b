import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { isPaliGemmaError, toFloat32, type NdArray } from "@paligemma/core";
import { memorySource, ndTensor, openNpz, type TensorRef } from "@paligemma/weights";
import { fileSource, writeNpz } from "@paligemma/weights/node";
import { afterAll, describe, expect, it } from "vitest";
import { readZip } from "../src/npz/zip.ts";
import { counting } from "./counting.ts";
import { randomArray, seeded } from "./random.ts";

const root = await mkdtemp(join(tmpdir(), "npz-"));
afterAll(() => rm(root, { recursive: true }));
const fixture = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(new URL(`fixtures/${name}`, import.meta.url)));

function numbers({ dtype, shape, data }: NdArray): readonly number[] {
  const half = dtype === "float16" || dtype === "bfloat16";
  return Array.from((half ? toFloat32({ dtype, shape, data }).data : data) as ArrayLike<number | bigint>, Number);
}

describe("reading", () => {
  it.each(["types.npz", "types-compressed.npz"])("%s of numpy, every type", async (name) => {
    const { values } = JSON.parse(new TextDecoder().decode(await fixture("types-npz.json"))) as {
      values: Record<string, readonly number[]>;
    };
    const checkpoint = await openNpz(memorySource(await fixture(name), name));
    expect([...checkpoint.tensors.keys()].toSorted()).toEqual(Object.keys(values).toSorted());
    for (const [key, expected] of Object.entries(values))
      expect([key, numbers(await checkpoint.read(key))]).toEqual([key, expected]);
    expect((await checkpoint.read("scalar")).shape).toEqual([]);
    expect((await checkpoint.read("empty")).shape).toEqual([0, 3]);
  });

  it("leaves stored arrays in the file", async () => {
    const array = randomArray(seeded(1), [100_000], "float32");
    await writeNpz(join(root, "big.npz"), [ndTensor("a", array)]);
    const file = await fileSource(join(root, "big.npz"));
    const source = counting(file);
    const { tensors } = await openNpz(source);
    // The end, the directory, the member's header and the array's: not the 400,000 bytes of numbers.
    expect(source.bytesRead).toBeLessThan(75_000);
    expect(tensors.get("a")).toMatchObject({ source: { path: file.path }, shape: [100_000] });
  });
});

describe("writing", () => {
  it("gives back what was written", async () => {
    const next = seeded(2);
    const path = join(root, "random.npz");
    for (let i = 0; i < 30; i++) {
      const arrays = Array.from({ length: Math.floor(next() * 6) }, () => randomArray(next));
      await writeNpz(
        path,
        arrays.map((array, j) => ndTensor(`params/größe/${j}`, array)),
      );
      const checkpoint = await openNpz(await fileSource(path));
      expect(checkpoint.tensors.size).toBe(arrays.length);
      for (const [j, array] of arrays.entries()) expect(await checkpoint.read(`params/größe/${j}`)).toEqual(array);
    }
  });

  it("sums what it writes, for readers that check", async () => {
    const path = join(root, "sums.npz");
    await writeNpz(path, [
      ndTensor("a", randomArray(seeded(3), [7], "float32")),
      ndTensor("b/c", randomArray(seeded(4), [3, 5], "bfloat16")),
    ]);
    const bytes = await readFile(path);
    const members = await readZip(await fileSource(path));
    expect(members.map(({ name }) => name)).toEqual(["a.npy", "b/c.npy"]);
    for (const { name, start, size, crc32: sum } of members) {
      expect(crc32(bytes.subarray(start, start + size))).toBe(sum);
      expect(bytes.readUInt32LE(start - 20 - name.length - 30 + 14)).toBe(sum);
    }
  });
});

describe("hostile files", () => {
  it.each([
    ["an empty file", new Uint8Array(0)],
    ["a text", new TextEncoder().encode("version https://git-lfs.github.com/spec/v1")],
    ["a lone end record that lists members", endRecord(3, 0, 0)],
    ["an end record with a directory outside", endRecord(1, 2 ** 31, 46)],
    ["an end record with a directory over itself", endRecord(1, 10, 0)],
  ])("%s", async (_, bytes) => {
    await expect(openNpz(memorySource(bytes))).rejects.toMatchObject({ code: "weights/zip" });
  });

  it("anything cut or changed opens rightly or fails by name, without reading outside", async () => {
    const next = seeded(5);
    for (const name of ["types.npz", "types-compressed.npz"]) {
      const whole = await fixture(name);
      for (let i = 0; i < 300; i++) {
        const bytes = whole.slice(0, next() < 0.2 ? Math.floor(next() * whole.length) : whole.length);
        // Mostly in the directory, where it hurts.
        const from = next() < 0.7 ? Math.floor(bytes.length * 0.6) : 0;
        for (let j = 0; j < 2 && bytes.length > 0; j++)
          bytes[from + Math.floor(next() * (bytes.length - from))] = next() < 0.3 ? 255 : next() * 256;
        try {
          const checkpoint = await openNpz(memorySource(bytes));
          for (const key of checkpoint.tensors.keys()) await checkpoint.read(key);
        } catch (error) {
          if (!isPaliGemmaError(error) || error.code === "weights/range") throw error;
        }
      }
    }
  });

  it.each([
    ["<f4', 'fortran_order': True, 'shape': (2, 3)", "weights/npy"],
    ["<f4', 'fortran_order': False, 'shape': (99,)", "weights/npy"],
    [">f4', 'fortran_order': False, 'shape': (6,)", "weights/dtype"],
    ["|O', 'fortran_order': False, 'shape': (6,)", "weights/dtype"],
    ["<f4', 'fortran_order': False, 'shape': (-6,)", "weights/npy"],
    ["<f4', 'fortran_order': False, 'shape': (9007199254740993, 2)", "weights/npy"],
  ])("an array of '%s", async (header, code) => {
    const path = join(root, "header.npz");
    await writeNpz(path, [ndTensor("a", { dtype: "float32", shape: [6], data: new Float32Array(6) })]);
    const bytes = new Uint8Array(await readFile(path));
    const at = Buffer.from(bytes).indexOf("{'descr'");
    bytes.fill(0x20, at, at + 100);
    bytes.set(new TextEncoder().encode(`{'descr': '${header}, }`), at);
    await writeFile(path, bytes);
    await expect(openNpz(await fileSource(path))).rejects.toMatchObject({ code });
  });

  it("an array that claims to inflate to terabytes", async () => {
    const bytes = await fixture("types-compressed.npz");
    const view = new DataView(bytes.buffer);
    let at = Buffer.from(bytes).lastIndexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    at = Buffer.from(bytes).indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    view.setUint32(at + 24, 0xffff_fffe, true);
    await expect(openNpz(memorySource(bytes))).rejects.toMatchObject({ code: "weights/limit" });
    view.setUint32(at + 24, 300, true);
    const lies: TensorRef | undefined = await openNpz(memorySource(bytes)).then(
      ({ tensors }) => [...tensors.values()][0],
      (error: unknown) => {
        if (!isPaliGemmaError(error)) throw error;
        return undefined;
      },
    );
    expect(lies).toBeUndefined();
  });
});

function endRecord(count: number, offset: number, size: number): Uint8Array {
  const bytes = new Uint8Array(22);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x06054b50, true);
  view.setUint16(10, count, true);
  view.setUint32(12, size, true);
  view.setUint32(16, offset, true);
  return bytes;
}
