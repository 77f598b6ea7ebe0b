import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "@paligemma/core";
import { describe, expect, it } from "vitest";

describe("float16", () => {
  it("gives back every one of its 65,536 values", () => {
    for (let bits = 0; bits < 65_536; bits++) {
      const value = fromFloat16(bits);
      if (Number.isNaN(value)) expect(Number.isNaN(fromFloat16(toFloat16(value)))).toBe(true);
      else if (toFloat16(value) !== bits)
        expect.fail(`${bits.toString(16)} came back as ${toFloat16(value).toString(16)}`);
    }
  });

  it("rounds to the nearest, ties to even, between any two neighbours", () => {
    for (let bits = 0; bits < 0x7bff; bits++) {
      const low = fromFloat16(bits);
      const high = fromFloat16(bits + 1);
      const middle = (low + high) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const nudge = (high - low) / 64;
      if (toFloat16(middle) !== even || toFloat16(middle - nudge) !== bits || toFloat16(middle + nudge) !== bits + 1) {
        expect.fail(`between ${low} and ${high}`);
      }
    }
  });

  it("knows its limits", () => {
    expect(toFloat16(65_519.99)).toBe(0x7bff);
    expect(toFloat16(65_520)).toBe(0x7c00);
    expect(toFloat16(Number.NEGATIVE_INFINITY)).toBe(0xfc00);
    expect(toFloat16(2 ** -25)).toBe(0);
    expect(toFloat16(2 ** -25 * 1.0001)).toBe(1);
    expect(toFloat16(-0)).toBe(0x8000);
    expect(Number.isNaN(fromFloat16(toFloat16(Number.NaN)))).toBe(true);
  });
});

describe("bfloat16", () => {
  it("gives back every one of its 65,536 values", () => {
    for (let bits = 0; bits < 65_536; bits++) {
      const value = fromBfloat16(bits);
      if (Number.isNaN(value)) expect(Number.isNaN(fromBfloat16(toBfloat16(value)))).toBe(true);
      else if (toBfloat16(value) !== bits)
        expect.fail(`${bits.toString(16)} came back as ${toBfloat16(value).toString(16)}`);
    }
  });

  it("rounds to the nearest, ties to even", () => {
    expect(toBfloat16(1 + 2 ** -8)).toBe(toBfloat16(1));
    expect(toBfloat16(1 + 3 * 2 ** -8)).toBe(toBfloat16(1 + 2 ** -6));
    expect(toBfloat16(1 + 2 ** -8 + 2 ** -20)).toBe(toBfloat16(1 + 2 ** -7));
    expect(toBfloat16(3.4e38)).toBe(0x7f80);
  });
});
