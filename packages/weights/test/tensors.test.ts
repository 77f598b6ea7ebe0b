import { fromFloat32, toFloat32, type NdArray } from "@paligemma/core";
import {
  castTensor,
  checkpointOf,
  computedTensor,
  ndTensor,
  readTensor,
  tensorPieces,
  LIMITS,
  type TensorRef,
} from "@paligemma/weights";
import { describe, expect, it, vi } from "vitest";
import { randomArray, seeded } from "./random.ts";

const values = (shape: readonly number[]): NdArray<"float32"> => ({
  dtype: "float32",
  shape,
  data: Float32Array.from({ length: shape[0] }, (_, i) => Math.sin(i) * 100),
});

describe("castTensor", () => {
  it.each(["float16", "bfloat16"] as const)("rounds to %s and back, read in any ranges", async (dtype) => {
    const array = values([500]);
    const expected = fromFloat32(array, dtype);
    const cast = castTensor(ndTensor("a", array), dtype);
    expect(await readTensor(cast)).toEqual(expected);
    const bytes = new Uint8Array(expected.data.buffer);
    const next = seeded(6);
    for (let i = 0; i < 50; i++) {
      const [start, end] = [Math.floor(next() * 1001), Math.floor(next() * 1001)].toSorted((a, b) => a - b) as [
        number,
        number,
      ];
      expect(await cast.source.read(start, end)).toEqual(bytes.slice(start, end));
    }
    expect(await readTensor(castTensor(cast, "float32"))).toEqual(toFloat32(expected));
  });

  it("leaves a tensor of that format where it lies", () => {
    const ref = ndTensor("a", values([4]));
    expect(castTensor(ref, "float32")).toBe(ref);
  });

  it("refuses integers", () => {
    expect(() =>
      castTensor(ndTensor("ids", { dtype: "int64", shape: [1], data: new BigInt64Array(1) }), "float32"),
    ).toThrow("weights/dtype");
  });
});

describe("computedTensor", () => {
  it("computes once per pass, and lets go after the last byte", async () => {
    const compute = vi.fn<() => Promise<NdArray>>(async () => values([10]));
    const ref = computedTensor("a", "float32", [10], compute);
    await ref.source.read(0, 8);
    await ref.source.read(8, 40);
    expect(compute).toHaveBeenCalledTimes(1);
    expect(await readTensor(ref)).toEqual(values([10]));
    expect(compute).toHaveBeenCalledTimes(2);
  });

  it("tells a result of another size, and tries again after a failure", async () => {
    const wrong = computedTensor("a", "float32", [10], async () => values([9]));
    await expect(readTensor(wrong)).rejects.toMatchObject({ code: "weights/range" });
    const compute = vi
      .fn<() => Promise<NdArray>>()
      .mockRejectedValueOnce(new Error("disk"))
      .mockResolvedValueOnce(values([2]));
    const flaky = computedTensor("b", "float32", [2], compute);
    await expect(readTensor(flaky)).rejects.toThrow("disk");
    expect(await readTensor(flaky)).toEqual(values([2]));
  });
});

describe("large tensors", () => {
  it("are read in pieces", async () => {
    const array = randomArray(seeded(7), [64], "uint8");
    const size = LIMITS.pieceBytes * 2 + 5;
    const reads: number[] = [];
    const source = {
      name: "big",
      size,
      read: async (start: number, end: number) => (
        reads.push(end - start),
        new Uint8Array(end - start).fill(start % 251)
      ),
    };
    const ref: TensorRef = { name: "big", dtype: "uint8", shape: [size], source, start: 0, end: size };
    const { data } = await readTensor(ref);
    expect(reads).toEqual([LIMITS.pieceBytes, LIMITS.pieceBytes, 5]);
    expect([data[0], data[LIMITS.pieceBytes], data[size - 1]]).toEqual([
      0,
      LIMITS.pieceBytes % 251,
      (2 * LIMITS.pieceBytes) % 251,
    ]);
    let pieces = 0;
    for await (const piece of tensorPieces(ndTensor("small", array))) pieces += piece.byteLength;
    expect(pieces).toBe(64);
  });
});

it("checkpointOf refuses one name twice", () => {
  const ref = ndTensor("a", values([1]));
  expect(() => checkpointOf([ref, ref])).toThrow("weights/duplicate");
});
