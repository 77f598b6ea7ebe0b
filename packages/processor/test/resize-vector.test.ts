import { resize, type ImageLike, type Resample } from "@paligemma/processor";
import { afterEach, describe, expect, it, vi } from "vitest";
import { pattern, type Formula } from "./patterns.ts";

const FILTERS: readonly Resample[] = ["box", "bilinear", "hamming", "bicubic", "lanczos"];
const FORMULAS: readonly Formula[] = ["noise", "waves", "checks"];

/** The image's channels resized one by one: images of one channel are computed without vectors. */
function byChannel(image: ImageLike, width: number, height: number, resample: Resample): Uint8Array {
  const out = new Uint8Array(width * height * image.channels);
  for (let channel = 0; channel < image.channels; channel++) {
    const plane = Uint8Array.from(
      { length: image.width * image.height },
      (_, i) => image.data[i * image.channels + channel]!,
    );
    const resized = resize({ ...image, data: plane, channels: 1 }, { width, height, resample });
    resized.data.forEach((value, i) => (out[i * image.channels + channel] = value));
  }
  return out;
}

describe("the vector version gives the bytes of the plain one", () => {
  it("for 300 shapes", () => {
    let seed = 7;
    const random = (most: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return 1 + Math.floor((seed / 2 ** 32) * most);
    };
    for (let i = 0; i < 300; i++) {
      const edge = [4, 40, 400][i % 3]!;
      const image = pattern(random(edge), random(edge), 3, FORMULAS[i % FORMULAS.length]!);
      const [width, height, resample] = [random(64), random(64), FILTERS[i % FILTERS.length]!];
      const plain = byChannel(image, width, height, resample);
      const name = `${image.width} × ${image.height} → ${width} × ${height} ${resample}`;
      expect([name, Buffer.compare(resize(image, { width, height, resample }).data, plain)]).toEqual([name, 0]);
    }
  });

  it("after larger pictures left their numbers in the scratch memory", () => {
    const small = pattern(9, 7, 3, "checks");
    const before = resize(small, { width: 5, height: 4, resample: "lanczos" });
    resize(pattern(2000, 900, 3, "noise"), { width: 448, height: 448 });
    expect(resize(small, { width: 5, height: 4, resample: "lanczos" })).toEqual(before);
  });

  it("where a shape needs too much scratch memory for it", () => {
    const tall = pattern(2, 120_000, 3, "noise");
    expect(Buffer.compare(resize(tall, { width: 100, height: 1 }).data, byChannel(tall, 100, 1, "bicubic"))).toBe(0);
  });
});

describe("without vectors", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.resetModules();
  });

  it("resize gives the same bytes", async () => {
    const image = pattern(97, 53, 3, "noise");
    const withVectors = resize(image, { width: 31, height: 64 });
    vi.resetModules();
    vi.stubGlobal("WebAssembly", undefined);
    const plain = await import("@paligemma/processor");
    expect(plain.resize).not.toBe(resize);
    expect(plain.resize(image, { width: 31, height: 64 })).toEqual(withVectors);
  });
});
