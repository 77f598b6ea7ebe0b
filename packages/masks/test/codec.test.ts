import { readFileSync } from "node:fs";
import { createMaskCodec, placeMask, placeSoftMask, rasterFromMask } from "@paligemma/masks";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { randomCodec } from "./random-codec.ts";

interface Oracle {
  readonly codes: number[][];
  readonly decodedSums: number[];
  readonly nearest: number[][];
  readonly floats: {
    readonly decodedFirst: [number, number];
    readonly decodedLast: [number, number];
    readonly features: [number, number];
  };
  readonly imagesAt: number;
  readonly places: {
    readonly box: [number, number, number, number];
    readonly size: [number, number];
    readonly semantics: "evaluator" | "demo";
    readonly offset: number;
    readonly length: number;
  }[];
}

const folder = new URL("fixtures/", import.meta.url);
const oracle = JSON.parse(readFileSync(new URL("codec.json", folder), "utf8")) as Oracle;
const binary = new Uint8Array(readFileSync(new URL("codec.bin", folder)));
const floats = (range: readonly [number, number]): Float32Array =>
  new Float32Array(binary.slice(range[0] * 4, range[1] * 4).buffer);
const codes = oracle.codes;
const tensors = randomCodec();

function farthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from({ length: a.length }, (_, i) => Math.abs((a[i] ?? 0) - (b[i] ?? 0))).reduce(
    (x, y) => Math.max(x, y),
    0,
  );
}

/** The oracle's `discs`. */
function disc(k: number): Float32Array {
  return Float32Array.from({ length: 4096 }, (_, i) =>
    (((i % 64) - 20 - 3 * k) / (8 + 3 * k)) ** 2 + (((i >> 6) - 40 + 2 * k) / (20 - k)) ** 2 < 1 ? 1 : -1,
  );
}

const discs = Array.from({ length: 9 }, (_, k) => disc(k));

describe.each(["wasm", "javascript"] as const)("the codec in %s", (runtime) => {
  const codec = createMaskCodec(tensors, { runtime });

  it("decodes as PyTorch does", () => {
    const rasters = codec.decode(codes);
    expect(codec.runtime).toBe(runtime);
    expect(farthest(rasters.at(0) ?? [], floats(oracle.floats.decodedFirst))).toBeLessThan(TOLERANCES["masks/codec"]);
    expect(farthest(rasters.at(8) ?? [], floats(oracle.floats.decodedLast))).toBeLessThan(TOLERANCES["masks/codec"]);
    const sums = rasters.map((raster) => raster.reduce((a, b) => a + b, 0) / 4096);
    expect(
      farthest(
        sums,
        oracle.decodedSums.map((sum) => sum / 4096),
      ),
    ).toBeLessThan(TOLERANCES["masks/codec"]);
  });

  it("encodes as PyTorch does", () => {
    const features = codec.encodeFeatures(discs);
    const expected = floats(oracle.floats.features);
    expect(farthest(features.subarray(0, expected.length), expected)).toBeLessThan(TOLERANCES["masks/codec"]);
    expect(codec.encode(discs)).toEqual(oracle.nearest);
  });

  it("gives a mask the same raster alone and among others", () => {
    const [alone] = codec.decode(codes.slice(3, 4));
    expect(codec.decode(codes).at(3)).toEqual(alone);
    expect(codec.encode(discs.slice(4, 5))).toEqual(codec.encode(discs).slice(4, 5));
    expect([codec.decode([]), codec.encode([])]).toEqual([[], []]);
  });
});

it("refuses codes and rasters that are none", () => {
  const codec = createMaskCodec(tensors);
  expect(() => codec.decode([[1, 2]])).toThrow(/masks\/codes: mask 0 has 2 codes/);
  expect(() => codec.decode([Array.from({ length: 16 }, () => 128)])).toThrow(/masks\/codes: mask 0 has the code 128/);
  expect(() => codec.encode([new Float32Array(5)])).toThrow(/masks\/raster: raster 0 has 5 values/);
  expect(() => codec.encode([new Float32Array(4096).fill(Number.NaN)])).toThrow(/masks\/raster/);
});

describe("createMaskCodec", () => {
  it("tells everything that is wrong with the arrays at once", () => {
    const wrong = new Map(tensors);
    wrong.delete("decoder.4.weight");
    wrong.set("decoder.4.weights", { shape: [1], data: new Float32Array(1) });
    wrong.set("decoder.12.bias", { shape: [2], data: new Float32Array(2) });
    wrong.set("encoder.10.bias", { shape: [512], data: new Float32Array(512).fill(Number.NaN) });
    expect(() => createMaskCodec(wrong)).toThrow(
      /decoder\.4\.weight is missing.*decoder\.12\.bias is \[2\], the codec has \[1\].*encoder\.10\.bias holds.*decoder\.4\.weights is no array of the codec \(decoder\.4\.weight\?\)/s,
    );
  });

  it("decodes without an encoder, and says so when asked to encode", () => {
    const half = new Map([...tensors].filter(([name]) => !name.startsWith("encoder.") && !name.includes("_ema_")));
    const codec = createMaskCodec(half);
    expect(codec.canEncode).toBe(false);
    expect(codec.decode(codes.slice(0, 1))).toHaveLength(1);
    expect(() => codec.encode([disc(0)])).toThrow(/masks\/encoder/);
    half.delete("decoder.0.bias");
    expect(() => createMaskCodec(half)).toThrow(/decoder\.0\.bias is missing/);
  });
});

describe("placing", () => {
  const raster = floats(oracle.floats.decodedFirst);
  const [, second = raster] = createMaskCodec(tensors).decode(codes.slice(0, 2));

  it.each(oracle.places)("agrees with Pillow at $size, $semantics", ({ box, size, semantics, offset, length }) => {
    const [yMin, xMin, yMax, xMax] = box;
    const [width, height] = size;
    const expected = binary.subarray(oracle.imagesAt + offset, oracle.imagesAt + offset + length);
    const soft = placeSoftMask(second, { yMin, xMin, yMax, xMax }, { width, height }, { semantics });
    const shown =
      semantics === "demo"
        ? soft.data.map((v) => Math.round(v * 255))
        : placeMask(second, { yMin, xMin, yMax, xMax }, { width, height }).data.map((v) => v * 255);
    // The rasters themselves differ by float32 rounding, so a pixel on the border may fall either way.
    const different = Array.from(expected).filter(
      (value, i) => Math.abs(value - (shown[i] ?? -1)) > (semantics === "demo" ? 1 : 0),
    ).length;
    expect(different).toBeLessThanOrEqual(1);
  });

  it("gives the same mask binary, and soft with a threshold", () => {
    const box = { yMin: 0.2, xMin: 0.1, yMax: 0.9, xMax: 0.55 };
    const soft = placeSoftMask(raster, box, { width: 50, height: 40 });
    const sharp = placeMask(raster, box, { width: 50, height: 40 });
    expect(soft.data.map((v) => (v > 0.5 ? 1 : 0))).toEqual(Float32Array.from(sharp.data));
    expect(placeMask(raster, box, { width: 50, height: 40 }, { extent: "box" })).toMatchObject({
      width: 22,
      height: 28,
    });
  });

  it("gives boxes without an inside an empty mask, and refuses what is no box", () => {
    const inverted = { yMin: 0.9, xMin: 0.1, yMax: 0.2, xMax: 0.5 };
    expect(placeMask(raster, inverted, { width: 5, height: 4 }).data).toEqual(new Uint8Array(20));
    expect(() => placeMask(raster, { ...inverted, xMin: Number.NaN }, { width: 5, height: 4 })).toThrow(/masks\/box/);
    expect(() => placeMask(raster, inverted, { width: 1e9, height: 1e9 })).toThrow(/masks\/size/);
    expect(() => placeMask(raster, inverted, { width: 5, height: 4 }, { semantic: "demo" } as never)).toThrow(
      /masks\/option/,
    );
    expect(() => rasterFromMask({ width: 4, height: 4, data: new Uint8Array(16) }, inverted)).toThrow(/masks\/box/);
  });

  it("crops for the encoder with rounded corners", () => {
    const data = Uint8Array.from({ length: 100 }, (_, i) => (i % 10 >= 3 ? 1 : 0));
    const cropped = rasterFromMask({ width: 10, height: 10, data }, { yMin: 0, xMin: 0.26, yMax: 1, xMax: 0.96 });
    expect(new Set(cropped)).toEqual(new Set([1]));
  });
});
