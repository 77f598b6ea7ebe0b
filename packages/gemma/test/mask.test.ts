import { prefixLmMask, stepMasks } from "@paligemma/gemma";
import { toFloat32 } from "@paligemma/core";
import { describe, expect, it } from "vitest";

const bytes = (text: string): Uint8Array => Uint8Array.from(text, Number);

/** The mask as rows of 1 (seen) and 0 (hidden), of one batch row. */
function rows(valid: string, types: string | undefined, options: { window?: number; tokens?: number } = {}): string[] {
  const tokens = options.tokens ?? valid.length;
  const { data, shape } = prefixLmMask({
    valid: [bytes(valid)],
    tokens,
    compute: "float32",
    ...(types !== undefined && { types: [bytes(types)] }),
    ...(options.window !== undefined && { window: options.window }),
  });
  expect(shape).toEqual([1, 1, tokens, valid.length]);
  return Array.from({ length: tokens }, (_, t) =>
    Array.from({ length: valid.length }, (_column, v) => (Number(data[t * valid.length + v]) === 0 ? 1 : 0)).join(""),
  );
}

// The matrices that transformers 5.18 was seen to use (reference §11.1).
describe("prefixLmMask", () => {
  it("lets a prompt see itself in full", () => {
    expect(rows("1111111111", "0000000000")).toEqual(Array.from({ length: 10 }, () => "1111111111"));
  });

  it("lets the prefix see the prefix, and the suffix what is before it", () => {
    const expected = [...Array.from({ length: 8 }, () => "1111111100"), "1111111110", "1111111111"];
    expect(rows("1111111111", "0000000011")).toEqual(expected);
  });

  it("hides padding from everyone", () => {
    const expected = [...Array.from({ length: 8 }, () => "0011111100"), "0011111110", "0011111111"];
    expect(rows("0011111111", "0000000011")).toEqual(expected);
  });

  it("limits the suffix, not the prefix, to the window", () => {
    const expected = [
      ...Array.from({ length: 7 }, () => "11111110000"),
      "00001111000",
      "00000111100",
      "00000011110",
      "00000001111",
    ];
    expect(rows("11111111111", "00000001111", { window: 4 })).toEqual(expected);
  });

  it("is causal in later runs, with the window", () => {
    expect(rows("0111111", undefined, { tokens: 2 })).toEqual(["0111110", "0111111"]);
    expect(rows("0111111", undefined, { tokens: 2, window: 3 })).toEqual(["0001110", "0000111"]);
  });

  it("is finite in every format, so that a row that sees nothing gives no NaN", () => {
    for (const compute of ["float32", "float16", "bfloat16"] as const) {
      const mask = prefixLmMask({ valid: [bytes("01")], types: [bytes("11")], tokens: 2, compute });
      expect(mask.dtype).toBe(compute);
      expect([...toFloat32(mask).data].every(Number.isFinite)).toBe(true);
    }
  });
});

describe("stepMasks", () => {
  /** What the steps see: the places of the cache, and after a space themselves. */
  function steps(valid: string, count: number, window?: number): string[] {
    const masks = { valid: [bytes(valid)], steps: count, compute: "float32", ...(window && { window }) } as const;
    const { data, shape } = stepMasks(masks);
    const total = valid.length + count;
    expect(shape).toEqual([count, 1, 1, total]);
    return Array.from({ length: count }, (_, step) => {
      const row = Array.from({ length: total }, (_k, k) => (Number(data[step * total + k]) === 0 ? 1 : 0)).join("");
      return `${row.slice(0, -1)} ${row.slice(-1)}`;
    });
  }

  it("shows each step the cache, what the steps before it wrote, and itself", () => {
    expect(steps("0111", 3)).toEqual(["011100 1", "011110 1", "011111 1"]);
  });

  it("has the rows of a step side by side", () => {
    const valid = ["0111", "1111", "0011"];
    const { data, shape } = stepMasks({ valid: valid.map(bytes), steps: 2, compute: "float32" });
    expect(shape).toEqual([6, 1, 1, 6]);
    const seen = Array.from({ length: 6 }, (_, i) =>
      Array.from({ length: 6 }, (_k, k) => (Number(data[6 * i + k]) === 0 ? 1 : 0)).join(""),
    );
    expect(seen).toEqual(["011101", "111101", "001101", "011111", "111111", "001111"]);
  });

  it("moves the window on", () => {
    expect(steps("1111", 3, 3)).toEqual(["001100 1", "000110 1", "000011 1"]);
  });

  it("sees in every step what a run of its own would see", () => {
    for (const window of [undefined, 2, 5])
      steps("01101", 4, window).forEach((seen, step) => {
        const alone = rows(`01101${"1".repeat(step + 1)}`, undefined, { tokens: 1, ...(window && { window }) })[0]!;
        expect(seen).toBe(`${alone.slice(0, -1).padEnd(8, "0")} 1`);
      });
  });
});
