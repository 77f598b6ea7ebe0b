import { parsePreprocessorConfig, preprocessImages } from "@paligemma/processor";
import { createImagePool, decodeImage } from "@paligemma/processor/node";
import { afterAll, describe, expect, it } from "vitest";
import { readFileSync } from "node:fs";
import { pattern } from "./patterns.ts";

const preprocessor = { image_seq_length: 4, size: { height: 28, width: 28 } };
const file = (name: string): URL => new URL(`fixtures/decode/${name}`, import.meta.url);
const names = ["baseline-420.jpg", "rgb.png", "exif-6.jpg", "cmyk.jpg", "transparent.gif", "lossy.webp", "rgb.tif"];

describe("createImagePool", () => {
  const pool = createImagePool({ preprocessor, workers: 2 });
  afterAll(() => pool.dispose());

  it("gives the numbers of the caller's own thread, whatever the order", async () => {
    const config = parsePreprocessorConfig(preprocessor);
    const pixels = await Promise.all([...names, ...names].map((name) => pool.preprocess(file(name))));
    for (const [index, name] of names.entries()) {
      const image = await decodeImage(file(name));
      const alone = preprocessImages([image], config);
      expect(pixels[index]).toEqual({
        pixelValues: { dtype: "float32", shape: [3, 28, 28], data: alone.data },
        width: image.width,
        height: image.height,
      });
      expect(pixels[index + names.length]).toEqual(pixels[index]);
    }
  });

  it("takes bytes, views of larger memory, and raw pixels", async () => {
    const bytes = readFileSync(file("rgb.png"));
    const around = new Uint8Array(bytes.length + 20);
    around.set(bytes, 10);
    const image = pattern(9, 5, 3, "noise");
    const [a, b, c] = await Promise.all([
      pool.preprocess(bytes),
      pool.preprocess(around.subarray(10, 10 + bytes.length)),
      pool.preprocess(image),
    ]);
    expect(a).toEqual(b);
    expect(c?.pixelValues.data).toEqual(preprocessImages([image], parsePreprocessorConfig(preprocessor)).data);
    expect(image.data).toEqual(pattern(9, 5, 3, "noise").data);
  });

  it("fails picture by picture with the error of that picture", async () => {
    const results = await Promise.allSettled([
      pool.preprocess(new Uint8Array(0)),
      pool.preprocess(file("rgb.png")),
      pool.preprocess("no/such.png"),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "rejected"]);
    expect((results[0] as PromiseRejectedResult).reason).toMatchObject({
      name: "PaliGemmaError",
      code: "processor/decode",
    });
    expect((results[0] as PromiseRejectedResult).reason.message).toMatch(/^processor\/decode: the image is empty/);
  });

  it("stops what an abort names, with its reason", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const pending = Array.from({ length: 6 }, () => pool.preprocess(file("rgb.png"), controller.signal));
    controller.abort(reason);
    for (const result of await Promise.allSettled(pending))
      expect((result as PromiseRejectedResult).reason).toBe(reason);
    expect(() => pool.preprocess(file("rgb.png"), controller.signal)).toThrow(reason);
    expect((await pool.preprocess(file("rgb.png"))).pixelValues.shape).toEqual([3, 28, 28]);
  });

  it("refuses unknown options and impossible numbers of threads", () => {
    expect(() => createImagePool({ preprocessor, threads: 2 } as never)).toThrow(/^processor\/option: .*threads/);
    expect(() => createImagePool({ preprocessor, workers: 0 })).toThrow(/^processor\/option: workers is 0/);
    expect(() => createImagePool({ preprocessor: {} })).toThrow(/^processor\/config/);
  });
});

it("a disposed pool fails what is not done and takes nothing more", async () => {
  const pool = createImagePool({ preprocessor, workers: 1 });
  const pending = [pool.preprocess(file("rgb.png")), pool.preprocess(file("rgb.png"))];
  const settled = Promise.allSettled(pending);
  await pool.dispose();
  for (const result of await settled)
    expect((result as PromiseRejectedResult).reason).toMatchObject({ code: "processor/pool" });
  expect(() => pool.preprocess(file("rgb.png"))).toThrow(/^processor\/pool/);
});
