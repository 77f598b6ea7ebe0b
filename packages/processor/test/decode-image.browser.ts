import { isPaliGemmaError } from "@paligemma/core";
import { decodeImage } from "@paligemma/processor/browser";
import { describe, expect, it } from "vitest";

interface Expected {
  mode: string;
  width: number;
  height: number;
  sha256: string;
}

const read = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await (await fetch(new URL(`./fixtures/decode/${name}`, import.meta.url))).arrayBuffer());
const { files } = JSON.parse(new TextDecoder().decode(await read("expected.json"))) as {
  files: Record<string, Expected>;
};
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "no error",
    (error: unknown) => (isPaliGemmaError(error) ? error.code : String(error)),
  );

const refused = ["cmyk.jpg", "cmyk-progressive.jpg", "grey-16.png", "grey-16-dim.png", "grey-16-transparent.png"];
const exact = Object.keys(files).filter((name) => !/\.(tif|avif)$/.test(name) && !refused.includes(name));

async function sha256(data: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data as Uint8Array<ArrayBuffer>));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

describe("decodeImage equals Pillow in the browser", () => {
  it.each(exact)("%s", async (name) => {
    const image = await decodeImage(await read(name));
    expect(image).toMatchObject({ width: files[name]!.width, height: files[name]!.height, channels: 3 });
    expect(await sha256(image.data)).toBe(files[name]!.sha256);
  });

  it("turns nothing where orientation says ignore", async () => {
    for (const name of ["exif-3.jpg", "exif-6.jpg", "exif-8.jpg"])
      expect(await sha256((await decodeImage(await read(name), { orientation: "ignore" })).data)).toBe(
        files["exif-1.jpg"]!.sha256,
      );
  });

  it("reads blobs, canvases and ImageData", async () => {
    const bytes = await read("rgb.png");
    expect(await sha256((await decodeImage(new Blob([bytes as Uint8Array<ArrayBuffer>]))).data)).toBe(
      files["rgb.png"]!.sha256,
    );
    const pixels = new ImageData(2, 1);
    pixels.data.set([1, 2, 3, 0, 4, 5, 6, 255]);
    expect(Array.from((await decodeImage(pixels)).data)).toEqual([1, 2, 3, 4, 5, 6]);
    const canvas = new OffscreenCanvas(2, 1);
    const context = canvas.getContext("2d")!;
    context.fillStyle = "rgb(9, 99, 199)";
    context.fillRect(0, 0, 2, 1);
    expect(Array.from((await decodeImage(canvas)).data)).toEqual([9, 99, 199, 9, 99, 199]);
  });
});

describe("what a browser would get wrong is refused", () => {
  it.each(refused)("%s", async (name) => {
    expect(await codeOf(decodeImage(await read(name)))).toBe("processor/decode");
  });
  it.each([
    ["nothing", new Uint8Array(0), "processor/decode"],
    ["a text", new TextEncoder().encode("no picture at all"), "processor/decode"],
  ])("%s", async (_name, bytes, code) => {
    expect(await codeOf(decodeImage(bytes))).toBe(code);
  });
  it("100,000 × 100,000 pixels, and more bytes or pixels than allowed", async () => {
    const huge = await read("rgb.png");
    new DataView(huge.buffer).setUint32(16, 100_000);
    new DataView(huge.buffer).setUint32(20, 100_000);
    expect(await codeOf(decodeImage(huge))).toMatch(/^processor\/decode/);
    const bytes = await read("rgb.png");
    expect(await codeOf(decodeImage(bytes, { maxBytes: 9 }))).toBe("processor/decode-limit");
    expect(await codeOf(decodeImage(bytes, { maxPixels: 9 }))).toBe("processor/decode-limit");
    expect(await codeOf(decodeImage(bytes, { orientation: "ignore" }))).toBe("processor/option");
  });
});
