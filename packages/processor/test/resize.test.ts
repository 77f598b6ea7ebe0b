import { readFileSync } from "node:fs";
import { resize, type ImageLike, type Resample } from "@paligemma/processor";
import { describe, expect, it } from "vitest";
import { pattern, type Formula } from "./patterns.ts";
import { sha256 } from "./sha256.ts";

interface Case {
  width: number;
  height: number;
  channels: ImageLike["channels"];
  formula: Formula;
  to: { width: number; height: number };
  resample: Resample;
  sha256: string;
}

const { cases } = JSON.parse(readFileSync(new URL("fixtures/resize.json", import.meta.url), "utf8")) as {
  cases: Case[];
};

describe("resize equals Pillow, byte for byte", () => {
  const inputs = new Map<string, ImageLike>();
  it.each(
    cases.map(
      (c) =>
        [`${c.width}×${c.height}×${c.channels} ${c.formula} → ${c.to.width}×${c.to.height} ${c.resample}`, c] as const,
    ),
  )("%s", (_name, c) => {
    const key = `${c.width} ${c.height} ${c.channels} ${c.formula}`;
    const image = inputs.get(key) ?? pattern(c.width, c.height, c.channels, c.formula);
    inputs.set(key, image);
    const out = resize(image, { ...c.to, resample: c.resample });
    expect(out).toMatchObject({ ...c.to, channels: c.channels });
    expect(sha256(out.data)).toBe(c.sha256);
  });
});

describe("resize", () => {
  const image = pattern(9, 7, 3, "noise");
  it("treats channels apart", () => {
    const two = pattern(9, 7, 2, "noise");
    const resized = resize(two, { width: 5, height: 11, resample: "lanczos" });
    for (const channel of [0, 1]) {
      const alone: ImageLike = { ...two, data: two.data.filter((_, i) => i % 2 === channel), channels: 1 };
      expect(resize(alone, { width: 5, height: 11, resample: "lanczos" }).data).toEqual(
        resized.data.filter((_, i) => i % 2 === channel),
      );
    }
  });
  it("copies where nothing changes, and never writes to its input", () => {
    const before = image.data.slice();
    const copy = resize(image, { width: 9, height: 7 });
    expect(copy).toEqual(image);
    expect(copy.data).not.toBe(image.data);
    resize(image, { width: 3, height: 3 });
    expect(image.data).toEqual(before);
  });
  it("is bicubic by default", () => {
    expect(resize(image, { width: 4, height: 4 })).toEqual(resize(image, { width: 4, height: 4, resample: "bicubic" }));
  });
  it.each([
    [{ width: 0, height: 4 }, /^processor\/option: .*0 × 4/],
    [{ width: 2.5, height: 4 }, /^processor\/option/],
    [{ width: 1e6, height: 1e6 }, /^processor\/option/],
    [{ width: 4, height: 4, resample: "cubic" as Resample }, /^processor\/option: .*"cubic"/],
    [{ width: 4, height: 4, antialias: true }, /^processor\/option: .*antialias/],
  ])("refuses %o", (options, message) => {
    expect(() => resize(image, options)).toThrow(message);
  });
  it("refuses shapes whose intermediate picture is too large", () => {
    expect(() => resize(pattern(1, 1_000_000, 3, "noise"), { width: 8192, height: 1 })).toThrow(
      /^processor\/option: .*two steps/,
    );
  });
});
