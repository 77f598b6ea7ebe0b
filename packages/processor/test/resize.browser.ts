import { resize, type ImageLike, type Resample } from "@paligemma/processor";
import { describe, expect, it } from "vitest";
import { pattern, type Formula } from "./patterns.ts";

interface Case {
  width: number;
  height: number;
  channels: ImageLike["channels"];
  formula: Formula;
  to: { width: number; height: number };
  resample: Resample;
  sha256: string;
}

const response = await fetch(new URL("fixtures/resize.json", import.meta.url));
const { cases } = (await response.json()) as { cases: Case[] };

describe("resize equals Pillow in the browser too", () => {
  it.each(
    cases.map(
      (c) =>
        [`${c.width}×${c.height}×${c.channels} ${c.formula} → ${c.to.width}×${c.to.height} ${c.resample}`, c] as const,
    ),
  )("%s", async (_name, c) => {
    const { data } = resize(pattern(c.width, c.height, c.channels, c.formula), { ...c.to, resample: c.resample });
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data as Uint8Array<ArrayBuffer>));
    expect(Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")).toBe(c.sha256);
  });
});
