import { fromFloat16, toBfloat16, toFloat16, type DType } from "@paligemma/core";
import type { ByteSource, TensorRef } from "@paligemma/weights";
import { expect, test } from "vitest";
import { convert } from "../src/weights/convert.ts";
import type { LoadedWeight } from "../src/weights/plan.ts";
import { Constants, readWeights } from "../src/weights/inline.ts";
import { streamWeights } from "../src/weights/stream.ts";

const MEBI = 2 ** 20;

/** A source of `size` bytes, byte i is i mod 251, that notes its reads. */
function counting(size: number): { source: ByteSource; reads: [number, number][] } {
  const reads: [number, number][] = [];
  const source = {
    name: "counting",
    size,
    read(start: number, end: number) {
      reads.push([start, end]);
      const bytes = new Uint8Array(end - start);
      for (let i = 0; i < bytes.length; i++) bytes[i] = (start + i) % 251;
      return Promise.resolve(bytes);
    },
  };
  return { source, reads };
}

const weight = (name: string, source: ByteSource, start: number, end: number): LoadedWeight => {
  const ref: TensorRef = { name, dtype: "uint8", shape: [end - start], source, start, end };
  return { name, ref, dtype: "uint8", shape: ref.shape };
};

test("neighbours are read together, in the file's order, and far tensors apart", async () => {
  const { source, reads } = counting(2 * MEBI);
  const weights = [
    weight("c", source, 1_500_000, 1_500_010),
    weight("b", source, 1100, 1200),
    weight("a", source, 1, 1000),
  ];
  const seen: string[] = [];
  const progress: number[] = [];
  await streamWeights(
    weights,
    ({ name }, offset, bytes) => {
      seen.push(name);
      expect(offset).toBe(0);
      expect(bytes[0]).toBe(weights.find((w) => w.name === name)!.ref.start % 251);
    },
    { task: "read", onProgress: ({ done }) => progress.push(done) },
  );
  expect(seen).toEqual(["a", "b", "c"]);
  expect(reads).toEqual([
    [1, 1200],
    [1_500_000, 1_500_010],
  ]);
  expect(progress).toEqual([0, 1099, 1109]);
});

test("a big tensor comes in parts, and what is held at once stays small", async () => {
  const size = 21 * MEBI + 3;
  const { source, reads } = counting(size);
  let held = 0;
  let next = 0;
  await streamWeights(
    [weight("big", source, 0, size)],
    (_, offset, bytes) => {
      expect(offset).toBe(next);
      next += bytes.length;
    },
    { task: "read", onHeld: (bytes) => (held = Math.max(held, bytes)) },
  );
  expect(next).toBe(size);
  expect(reads.map(([start, end]) => end - start)).toEqual([8 * MEBI, 8 * MEBI, 5 * MEBI + 3]);
  expect(held).toBe(8 * MEBI);
});

test("an abort stops between reads with its reason", async () => {
  const { source, reads } = counting(64 * MEBI);
  const controller = new AbortController();
  const reason = new Error("enough");
  const run = streamWeights([weight("big", source, 0, 64 * MEBI)], () => controller.abort(reason), {
    task: "read",
    signal: controller.signal,
  });
  await expect(run).rejects.toBe(reason);
  expect(reads).toHaveLength(1);
});

test.each([
  ["bfloat16", toBfloat16],
  ["float16", toFloat16],
] as const)("%s becomes float32, exactly, from any offset", async (dtype, write) => {
  const values = [0, -0, 1, -2.5, 0.125, 3e-5, -65504, Infinity];
  const stored = new Uint8Array(Uint16Array.from(values, write).buffer);
  const bytes = new Uint8Array(stored.length + 1);
  bytes.set(stored, 1);
  const expected = values.map(
    (value) =>
      new Float32Array(convert(new Uint8Array(Uint16Array.of(write(value)).buffer), dtype, "float32").buffer)[0],
  );
  const source: ByteSource = {
    name: "memory",
    size: bytes.length,
    read: (start, end) => Promise.resolve(bytes.slice(start, end)),
  };
  const ref: TensorRef = { name: "w", dtype, shape: [8], source, start: 1, end: bytes.length };
  const arrays = await readWeights([{ name: "w", ref, dtype: "float32", shape: ref.shape }], { task: "read" });
  expect([...arrays.get("w")!.data]).toEqual(expected);
  expect(expected.slice(0, 5)).toEqual([0, -0, 1, -2.5, 0.125]);
});

test("every float16 becomes the float32 that it is", () => {
  const halves = Uint16Array.from({ length: 65_536 }, (_, i) => i);
  const wide = convert(new Uint8Array(halves.buffer), "float16", "float32");
  const expected = Float32Array.from(halves, fromFloat16);
  const made = new Float32Array(wide.buffer, wide.byteOffset, halves.length);
  expect(made.every((value, i) => Object.is(value, expected[i]))).toBe(true);
});

test("float32 becomes float16, rounded; other formats are refused", () => {
  const bytes = new Uint8Array(Float32Array.of(1, -2.5, 1e9).buffer);
  expect([...new Uint16Array(convert(bytes, "float32", "float16").buffer)]).toEqual([0x3c00, 0xc100, 0x7c00]);
  expect(convert(bytes, "float32", "float32")).toBe(bytes);
  expect(() => convert(bytes, "float32", "int8" satisfies DType)).toThrow("backend/dtype");
});

test("constants are read once for all graphs of the same weights", () => {
  const { source } = counting(MEBI);
  const constants = new Constants();
  const names = (weights: readonly LoadedWeight[]): readonly string[] => weights.map(({ name }) => name);
  const first = constants.begin([weight("a", source, 10, 14), weight("b", source, 20, 22)]);
  expect(names(first.missing)).toEqual(["a", "b"]);
  void first.put(first.missing[1]!, 1, Uint8Array.of(7));
  // What did not arrive is not known.
  expect(names(constants.begin([weight("a", source, 10, 14)]).missing)).toEqual(["a"]);
  constants.keep(first);
  const second = constants.begin([weight("b too", source, 20, 22), weight("c", source, 500, 501)]);
  expect(names(second.missing)).toEqual(["c"]);
  expect([...second.arrays.get("b too")!.data]).toEqual([0, 7]);
  // Another file with the same places is another file.
  const other = counting(MEBI);
  expect(names(constants.begin([weight("a", other.source, 10, 14)]).missing)).toEqual(["a"]);
  expect([...first.arrays.keys()]).toEqual(["a", "b"]);
});

test("every part is converted in the same memory", async () => {
  const stored = new Uint8Array(Uint16Array.of(toBfloat16(1), toBfloat16(2), toBfloat16(3)).buffer);
  const source: ByteSource = {
    name: "memory",
    size: stored.length,
    read: (start, end) => Promise.resolve(stored.slice(start, end)),
  };
  const part = (name: string, start: number, end: number): LoadedWeight => {
    const ref: TensorRef = { name, dtype: "bfloat16", shape: [(end - start) / 2], source, start, end };
    return { name, ref, dtype: "float32", shape: ref.shape };
  };
  const buffers = new Set<ArrayBufferLike>();
  const values: number[] = [];
  const sink = (_: LoadedWeight, __: number, bytes: Uint8Array): void => {
    buffers.add(bytes.buffer);
    values.push(...new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4));
  };
  await streamWeights([part("a", 0, 4), part("b", 4, 6)], sink, { task: "read" });
  expect(values).toEqual([1, 2, 3]);
  expect(buffers.size).toBe(1);
});
