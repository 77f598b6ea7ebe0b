import { blobSource, joinSources, memorySource, sliceSource } from "@paligemma/weights";
import { describe, expect, it } from "vitest";
import { seeded } from "./random.ts";

const bytes = Uint8Array.from({ length: 40 }, (_, i) => i);
const kinds = {
  memory: memorySource(bytes),
  blob: blobSource(new Blob([bytes])),
  slice: sliceSource(memorySource(Uint8Array.of(9, 9, ...bytes, 9)), 2, 42),
  joined: joinSources([
    memorySource(bytes.slice(0, 7)),
    memorySource(new Uint8Array(0)),
    memorySource(bytes.slice(7, 8)),
    memorySource(bytes.slice(8)),
  ]),
};

describe.each(Object.entries(kinds))("%s", (_, source) => {
  it("gives any range", async () => {
    const next = seeded(1);
    expect(source.size).toBe(40);
    for (let i = 0; i < 100; i++) {
      const [start, end] = [Math.floor(next() * 41), Math.floor(next() * 41)].toSorted((a, b) => a - b) as [
        number,
        number,
      ];
      expect(await source.read(start, end)).toEqual(bytes.slice(start, end));
    }
  });

  it.each([
    [-1, 2],
    [0, 41],
    [5, 4],
    [0.5, 2],
    [0, Number.NaN],
    [2 ** 60, 2 ** 60 + 1],
  ])("refuses [%d, %d)", async (start, end) => {
    await expect(source.read(start, end)).rejects.toMatchObject({ code: "weights/range" });
  });

  it("stops at an abort", async () => {
    await expect(source.read(0, 1, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });
});

it("memory hands out copies", async () => {
  const read = await kinds.memory.read(0, 4);
  read.fill(99);
  expect(await kinds.memory.read(0, 4)).toEqual(bytes.slice(0, 4));
});

it("a file keeps its name", () => expect(blobSource(new File([], "a.safetensors")).name).toBe("a.safetensors"));
it("a slice must lie inside", () => expect(() => sliceSource(kinds.memory, 30, 50)).toThrow("weights/range"));
