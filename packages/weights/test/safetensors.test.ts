import { readFileSync } from "node:fs";
import { isPaliGemmaError, ndArray, toFloat32, type NdArray } from "@paligemma/core";
import { LIMITS, memorySource, ndTensor, openSafetensors, safetensorsBytes, type ByteSource } from "@paligemma/weights";
import { describe, expect, it } from "vitest";
import { counting } from "./counting.ts";
import { randomArray, seeded } from "./random.ts";

/** A file of this header text, of the length it claims or another, and so many bytes of data. */
function file(header: string | Uint8Array, data = 0, claimed?: bigint): ByteSource {
  const json = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + json.length + data);
  new DataView(bytes.buffer).setBigUint64(0, claimed ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return memorySource(bytes, "test.safetensors");
}
const entry = (dtype: unknown, shape: unknown, offsets: unknown): string =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });

describe("reading", () => {
  it("reads what the Python library writes, in every format", async () => {
    const fixture = (name: string): Buffer => readFileSync(new URL(`fixtures/${name}`, import.meta.url));
    const { values } = JSON.parse(fixture("all-dtypes.json").toString()) as { values: Record<string, string[]> };
    const checkpoint = await openSafetensors(memorySource(fixture("all-dtypes.safetensors")));
    expect(checkpoint.metadata).toEqual({ format: "pt", note: "größer" });
    expect([...checkpoint.tensors.keys()].toSorted()).toEqual(Object.keys(values).toSorted());
    for (const [name, expected] of Object.entries(values)) {
      const array = await checkpoint.read(name);
      const read = array.dtype.includes("float") && array.dtype !== "float64" ? toFloat32(array).data : array.data;
      const wanted = expected.map((text) => (text === "True" ? 1 : text === "False" ? 0 : Number(text)));
      expect([name, Array.from(read as ArrayLike<number | bigint>, Number)]).toEqual([name, wanted]);
    }
    expect((await checkpoint.read("scalar")).shape).toEqual([]);
    expect((await checkpoint.read("empty")).shape).toEqual([0, 4]);
    expect((await checkpoint.read("int64")).data[0]).toBe(2n ** 62n);
  });

  it("reads the header and the tensors asked for, nothing else", async () => {
    const big = { dtype: "float32", shape: [100_000], data: new Float32Array(100_000) } as const;
    const small = { dtype: "float32", shape: [3], data: new Float32Array(3) } as const;
    const bytes = await safetensorsBytes([ndTensor("big", big), ndTensor("small", small)]);
    const source = counting(memorySource(bytes));
    const checkpoint = await openSafetensors(source);
    expect(source.bytesRead).toBe(bytes.length - 400_012);
    await checkpoint.read("small");
    expect(source.bytesRead).toBe(bytes.length - 400_000);
  });

  it("names the nearest tensor", async () => {
    const bytes = await safetensorsBytes([
      ndTensor("model.norm.weight", { dtype: "float32", shape: [], data: new Float32Array(1) }),
    ]);
    const checkpoint = await openSafetensors(memorySource(bytes));
    await expect(checkpoint.read("model.norm.wieght")).rejects.toMatchObject({
      code: "weights/missing",
      message: expect.stringContaining("the nearest is model.norm.weight"),
    });
  });

  it("joins several files, and refuses one tensor in two of them", async () => {
    const one = memorySource(await safetensorsBytes([ndTensor("a", randomArray(seeded(1)))]), "one");
    const two = memorySource(
      await safetensorsBytes([ndTensor("b", randomArray(seeded(2)))], { metadata: { k: "v" } }),
      "two",
    );
    const both = await openSafetensors([one, two]);
    expect([...both.tensors.keys()]).toEqual(["a", "b"]);
    expect(both.metadata).toEqual({ format: "pt", k: "v" });
    await expect(openSafetensors([one, one])).rejects.toMatchObject({ code: "weights/duplicate" });
  });

  it("accepts a header padded with spaces, and no tensors at all", async () => {
    expect((await openSafetensors(file("{}     "))).tensors.size).toBe(0);
  });
});

describe("writing", () => {
  it("gives back 200 random checkpoints", async () => {
    const next = seeded(3);
    for (let i = 0; i < 200; i++) {
      const arrays = new Map<string, NdArray>(
        Array.from({ length: Math.floor(next() * 8) }, (_, j) => [`t${j}.${'"ü\\'.repeat(j % 2)}`, randomArray(next)]),
      );
      const metadata = { format: "pt", seed: String(i) };
      const bytes = await safetensorsBytes(
        [...arrays].map(([name, array]) => ndTensor(name, array)),
        { metadata },
      );
      const checkpoint = await openSafetensors(memorySource(bytes));
      expect(checkpoint.metadata).toEqual(metadata);
      expect(checkpoint.tensors.size).toBe(arrays.size);
      for (const [name, array] of arrays) {
        expect(await checkpoint.read(name)).toEqual(array);
        // Aligned to its element, so that it can be mapped.
        expect(checkpoint.tensors.get(name)!.start % array.data.BYTES_PER_ELEMENT).toBe(0);
      }
    }
  });

  it("begins tensors of whole lines at multiples of 64 bytes, and every other at a multiple of its element", async () => {
    const refs = [1, 16, 7, 32, 5].flatMap((length, i) => [
      ndTensor(`a${i}`, ndArray("float32", [length], new Float32Array(length))),
      ndTensor(`b${i}`, ndArray("int8", [4 * length], new Int8Array(4 * length))),
    ]);
    const { tensors } = await openSafetensors(memorySource(await safetensorsBytes(refs), "aligned"));
    for (const { start, end, dtype } of tensors.values())
      expect(start % ((end - start) % 64 === 0 ? 64 : dtype === "float32" ? 4 : 1)).toBe(0);
    expect(tensors.size).toBe(10);
  });

  it("takes any name", async () => {
    const array = randomArray(seeded(4));
    const bytes = await safetensorsBytes([ndTensor("__proto__", array)]);
    expect(await (await openSafetensors(memorySource(bytes))).read("__proto__")).toEqual(array);
    await expect(safetensorsBytes([ndTensor("a", array), ndTensor("a", array)])).rejects.toMatchObject({
      code: "weights/duplicate",
    });
    await expect(safetensorsBytes([ndTensor("__metadata__", array)])).rejects.toMatchObject({
      code: "weights/duplicate",
    });
  });

  it("refuses formats that the file has no name for", async () => {
    const packed = { dtype: "int4", shape: [2], data: new Uint8Array(1) } as const;
    await expect(safetensorsBytes([ndTensor("a", packed)])).rejects.toMatchObject({ code: "weights/dtype" });
  });
});

const f32 = (shape: unknown, offsets: unknown): string => entry("F32", shape, offsets);
const hostile: readonly (readonly [what: string, code: string, source: ByteSource, says: string])[] = [
  ["an empty file", "weights/truncated", memorySource(new Uint8Array(0)), "has 0 bytes"],
  ["seven bytes", "weights/truncated", memorySource(new Uint8Array(7)), "has 7 bytes"],
  ["a header of 2^60 bytes", "weights/limit", file("{}", 0, 2n ** 60n), "claims a header of 1152921504606846976 bytes"],
  ["a header of 2^64 - 1 bytes", "weights/limit", file("{}", 0, 2n ** 64n - 1n), `at most ${LIMITS.headerBytes}`],
  [
    "a header longer than the file",
    "weights/truncated",
    file("{}", 0, 4000n),
    "claims a header of 4000 bytes and has 10 bytes",
  ],
  [
    "a text file",
    "weights/limit",
    memorySource(new TextEncoder().encode("version https://git-lfs.github.com/spec/v1")),
    "no safetensors file",
  ],
  ["no JSON", "weights/header", file("{,}"), "is not JSON"],
  ["a cut header", "weights/header", file('{"a":'), "is not JSON"],
  ["another beginning", "weights/header", file(" {}"), 'does not begin with "{"'],
  ["an array", "weights/header", file("[]"), 'does not begin with "{"'],
  [
    "bytes that are no UTF-8",
    "weights/header",
    file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)),
    "is not UTF-8",
  ],
  [
    "deep nesting",
    "weights/header",
    file(`{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`),
    "not described by an object",
  ],
  [
    "one tensor twice",
    "weights/header",
    file(`{"a":${f32([1], [0, 4])},"a":${f32([1], [0, 4])}}`, 4),
    'has the key "a" twice',
  ],
  [
    "one tensor twice, once escaped",
    "weights/header",
    file(`{"a":${f32([1], [0, 4])},"\\u0061":${f32([1], [0, 4])}}`, 4),
    'has the key "a" twice',
  ],
  [
    "one field twice",
    "weights/header",
    file('{"a":{"dtype":"F32","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
    'has the key "dtype" twice',
  ],
  ["metadata that is no object", "weights/header", file('{"__metadata__":[]}'), "__metadata__"],
  ["metadata that holds numbers", "weights/header", file('{"__metadata__":{"a":1}}'), "__metadata__"],
  ["an entry that is no object", "weights/header", file('{"a":3}'), "a is not described"],
  ["no dtype", "weights/header", file(`{"a":${entry(undefined, [1], [0, 4])}}`, 4), "no dtype"],
  [
    "an unknown dtype",
    "weights/dtype",
    file(`{"a":${entry("F8_E4M3", [4], [0, 4])}}`, 4),
    "a is F8_E4M3; readable are F64",
  ],
  [
    "a dtype that objects inherit",
    "weights/dtype",
    file(`{"a":${entry("constructor", [4], [0, 4])}}`, 4),
    "constructor",
  ],
  ["no shape", "weights/header", file(`{"a":${f32(undefined, [0, 4])}}`, 4), "shape"],
  ["a negative dimension", "weights/header", file(`{"a":${f32([-1], [0, 4])}}`, 4), "shape"],
  ["half a dimension", "weights/header", file(`{"a":${f32([0.5], [0, 2])}}`, 2), "shape"],
  [
    "a shape that overflows",
    "weights/header",
    file(`{"a":${f32([2 ** 40, 2 ** 40], [0, 4])}}`, 4),
    "more elements than can be counted",
  ],
  [
    "too many dimensions",
    "weights/header",
    file(
      `{"a":${f32(
        Array.from({ length: 17 }, () => 1),
        [0, 4],
      )}}`,
      4,
    ),
    "17 dimensions",
  ],
  ["three offsets", "weights/header", file(`{"a":${f32([1], [0, 4, 8])}}`, 4), "data_offsets"],
  ["negative offsets", "weights/header", file(`{"a":${f32([1], [-4, 0])}}`, 4), "data_offsets"],
  ["offsets backwards", "weights/header", file(`{"a":${f32([1], [4, 0])}}`, 4), "takes -4 bytes"],
  ["offsets as text", "weights/header", file(`{"a":${f32([1], ["0", "4"])}}`, 4), "data_offsets"],
  ["an offset beyond counting", "weights/header", file(`{"a":${f32([1], [0, 2 ** 60])}}`, 4), "data_offsets"],
  [
    "fewer bytes than the shape",
    "weights/header",
    file(`{"a":${f32([2], [0, 4])}}`, 4),
    "takes 4 bytes (0 to 4), F32 [2] takes 8",
  ],
  [
    "tensors that overlap",
    "weights/header",
    file(`{"a":${f32([2], [0, 8])},"b":${f32([2], [4, 12])}}`, 12),
    "b begins 4 bytes before a ends",
  ],
  [
    "two tensors on the same bytes",
    "weights/header",
    file(`{"a":${f32([1], [0, 4])},"b":${f32([1], [0, 4])}}`, 4),
    "b begins 4 bytes before a ends",
  ],
  [
    "a hole",
    "weights/header",
    file(`{"a":${f32([1], [0, 4])},"b":${f32([1], [8, 12])}}`, 12),
    "4 bytes between a and b",
  ],
  [
    "a hole at the beginning",
    "weights/header",
    file(`{"a":${f32([1], [4, 8])}}`, 8),
    "4 bytes between the header and a",
  ],
  ["bytes behind the last tensor", "weights/header", file(`{"a":${f32([1], [0, 4])}}`, 9), "5 bytes behind a"],
  ["a file cut short", "weights/truncated", file(`{"a":${f32([4], [0, 16])}}`, 15), "download it again"],
  [
    "a name as long as a book",
    "weights/header",
    file(`{"${"x".repeat(5000)}":${f32([1], [0, 4])}}`, 4),
    "5000 characters",
  ],
];

describe("hostile files", () => {
  it.each(hostile)("%s: %s", async (_, code, source, says) => {
    const counted = counting(source);
    const error = await openSafetensors(counted).catch((e: unknown) => e);
    expect(isPaliGemmaError(error) && error.code).toBe(code);
    expect(String(error)).toContain(says);
    expect(String(error).length).toBeLessThan(500);
  });

  it("too many tensors", async () => {
    const empty = entry("F32", [0], [0, 0]);
    const names = Array.from({ length: LIMITS.tensors + 1 }, (_, i) => `"${i}":${empty}`);
    await expect(openSafetensors(file(`{${names.join(",")}}`))).rejects.toMatchObject({ code: "weights/limit" });
  });

  it("too many files", async () => {
    await expect(openSafetensors(Array.from({ length: LIMITS.shards + 1 }, () => file("{}")))).rejects.toMatchObject({
      code: "weights/limit",
    });
  });

  it("a header cut anywhere, or with any byte changed, opens rightly or fails by name", async () => {
    const array = { dtype: "float32", shape: [2, 2], data: new Float32Array(4) } as const;
    const whole = await safetensorsBytes([ndTensor("a", array), ndTensor("b", array)]);
    const next = seeded(5);
    for (let i = 0; i < 2000; i++) {
      const bytes = whole.slice(0, next() < 0.3 ? Math.floor(next() * whole.length) : whole.length);
      const at = Math.floor(next() * bytes.length);
      if (bytes.length > 0) bytes[at] = next() * 256;
      const result = await openSafetensors(memorySource(bytes)).catch((e: unknown) => e);
      if (result instanceof Error && !isPaliGemmaError(result)) throw result;
    }
  });
});
