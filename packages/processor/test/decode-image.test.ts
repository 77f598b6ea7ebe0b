import { readFileSync } from "node:fs";
import { isPaliGemmaError } from "@paligemma/core";
import { decodeImage } from "@paligemma/processor/node";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { sha256 } from "./sha256.ts";

interface Expected {
  mode: string;
  width: number;
  height: number;
  sha256: string;
  pixels?: string;
  managed?: string;
}

const folder = new URL("fixtures/decode/", import.meta.url);
const { files } = JSON.parse(readFileSync(new URL("expected.json", folder), "utf8")) as {
  files: Record<string, Expected>;
};
const read = (name: string): Buffer => readFileSync(new URL(name, folder));
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "no error",
    (error: unknown) => (isPaliGemmaError(error) ? `${error.code} ${error.message}` : `untyped ${String(error)}`),
  );

function greatestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < expected.length; i++) most = Math.max(most, Math.abs(actual[i]! - expected[i]!));
  return most;
}

describe("decodeImage equals Pillow", () => {
  const exact = Object.entries(files).filter(([, { pixels }]) => pixels === undefined);
  it.each(exact)("%s", async (name, expected) => {
    const image = await decodeImage(new URL(name, folder));
    expect(image).toMatchObject({ width: expected.width, height: expected.height, channels: 3 });
    expect(sha256(image.data)).toBe(expected.sha256);
  });

  // A known divergence: libheif and libavif reconstruct chroma differently.
  it.each(["lossy-420.avif", "lossy-444.avif"] as const)("%s within the tolerance of its chroma", async (name) => {
    const image = await decodeImage(read(name));
    const expected = Buffer.from(files[name]!.pixels!, "base64");
    expect(image.data.length).toBe(expected.length);
    expect(greatestDifference(image.data, expected)).toBeLessThanOrEqual(
      TOLERANCES[name === "lossy-444.avif" ? "decode/avif-444" : "decode/avif-420"],
    );
  });
});

describe("options", () => {
  it("icc: srgb converts an embedded profile", async () => {
    const expected = Buffer.from(files["icc.jpg"]!.managed!, "base64");
    const managed = await decodeImage(read("icc.jpg"), { icc: "srgb" });
    expect(greatestDifference(managed.data, expected)).toBeLessThanOrEqual(TOLERANCES["decode/icc"]);
    expect(sha256(managed.data)).not.toBe(files["icc.jpg"]!.sha256);
  });

  it("orientation: ignore keeps the rows as stored", async () => {
    const stored = await decodeImage(read("exif-6.jpg"), { orientation: "ignore" });
    expect(stored).toMatchObject({ width: files["exif-6.jpg"]!.height, height: files["exif-6.jpg"]!.width });
    expect(sha256(stored.data)).toBe(files["exif-1.jpg"]!.sha256);
  });

  it("grey16: scale gives the upper byte", async () => {
    const scaled = await decodeImage(read("grey-16.png"), { grey16: "scale" });
    const clipped = await decodeImage(read("grey-16.png"));
    expect(new Set(scaled.data).size).toBeGreaterThan(200);
    expect(clipped.data.filter((value) => value === 255).length).toBeGreaterThan(clipped.data.length * 0.98);
  });

  it("reads bytes, buffers, blobs, paths and file URLs alike", async () => {
    const bytes = read("rgb.png");
    const sources = [
      bytes,
      new Uint8Array(bytes),
      bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
      new Blob([new Uint8Array(bytes)]),
      new URL("rgb.png", folder),
      new URL("rgb.png", folder).href,
    ];
    const hashes = await Promise.all(
      sources.map(async (source) => sha256((await decodeImage(source as Uint8Array)).data)),
    );
    expect(new Set(hashes)).toEqual(new Set([files["rgb.png"]!.sha256]));
  });

  it("names an unknown option and an impossible value", async () => {
    expect(await codeOf(decodeImage(read("rgb.png"), { rotate: true } as never))).toMatch(
      /^processor\/option .*rotate/,
    );
    expect(await codeOf(decodeImage(read("rgb.png"), { icc: "p3" as never }))).toMatch(/^processor\/option .*icc/);
    expect(await codeOf(decodeImage(read("rgb.png"), { maxPixels: 1e12 }))).toMatch(/^processor\/option .*maxPixels/);
  });

  it("rethrows the reason of an abort", async () => {
    const reason = new Error("enough");
    await expect(decodeImage(read("rgb.png"), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("hostile input", () => {
  const pngOfSize = (width: number, height: number): Buffer => {
    const png = Buffer.from(read("rgb.png"));
    png.writeUInt32BE(width, 16);
    png.writeUInt32BE(height, 20);
    return png;
  };

  it.each([
    ["nothing", new Uint8Array(0), "processor/decode "],
    ["a text file", Buffer.from("Dear model,\nplease see the picture attached."), "processor/decode "],
    ["an SVG", Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'), "processor/decode "],
    ["half a PNG", read("gamma.png").subarray(0, 1000), "processor/decode "],
    ["half a JPEG", read("baseline-444.jpg").subarray(0, 900), "processor/decode "],
    [
      "a JPEG of zeros after its header",
      Buffer.concat([read("baseline-444.jpg").subarray(0, 20), Buffer.alloc(2000)]),
      "processor/decode ",
    ],
    ["half a GIF", read("transparent.gif").subarray(0, 30), "processor/decode "],
    ["a missing file", "no/such/picture.png", "processor/decode "],
    ["a folder", new URL(".", folder), "processor/decode "],
    ["a web address", "https://example.org/cat.png", "processor/decode "],
    ["null", null, "processor/decode "],
    ["100,000 × 100,000 pixels", pngOfSize(100_000, 100_000), "processor/decode-limit "],
    ["2³¹ − 1 pixels wide", pngOfSize(2 ** 31 - 1, 1), "processor/decode"],
  ])("%s is a typed error", async (_name, source, code) => {
    const error = await codeOf(decodeImage(source as Uint8Array));
    expect(error.startsWith(code)).toBe(true);
  });

  it("bounds bytes and pixels", async () => {
    expect(await codeOf(decodeImage(read("rgb.png"), { maxBytes: 100 }))).toMatch(
      /^processor\/decode-limit .*maxBytes/,
    );
    expect(await codeOf(decodeImage(read("rgb.png"), { maxPixels: 100 }))).toMatch(
      /^processor\/decode-limit .*maxPixels/,
    );
    expect(await codeOf(decodeImage(new URL("rgb.png", folder), { maxBytes: 100 }))).toMatch(
      /^processor\/decode-limit /,
    );
  });

  it("flips of single bytes never crash and never give another size than the header says", async () => {
    for (const name of ["baseline-420.jpg", "palette.png", "transparent.gif", "lossy.webp", "lzw.tif"]) {
      const bytes = read(name);
      for (let i = 0; i < 40; i++) {
        const broken = Buffer.from(bytes);
        const at = (i * 7919) % bytes.length;
        broken[at] = broken[at]! ^ (1 << (i % 8));
        const result = await decodeImage(broken, { maxPixels: 1_000_000 }).catch((error: unknown) => error);
        if (result instanceof Error) expect(isPaliGemmaError(result)).toBe(true);
        else {
          const image = result as { data: Uint8Array; width: number; height: number };
          expect(image.data.length).toBe(image.width * image.height * 3);
        }
      }
    }
  });
});
