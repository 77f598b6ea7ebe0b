import { readFileSync } from "node:fs";
import { resize, type ImageLike, type Resample } from "@paligemma/processor";
import { describe, expect, it } from "vitest";
import { pattern, sha256, type Formula } from "./patterns.ts";

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
