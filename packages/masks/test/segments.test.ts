import { createMaskCodec, decodeSegments, encodeSegments, maskArea, maskIou } from "@paligemma/masks";
import { cutOutPng, maskFromImage, maskToPng } from "@paligemma/masks/node";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { randomCodec } from "./random-codec.ts";

const codec = createMaskCodec(randomCodec());
const codes = Array.from({ length: 16 }, (_, i) => (i * 29) % 128);
const box = { yMin: 0.25, xMin: 0.25, yMax: 0.75, xMax: 0.75 };

describe("segments", () => {
  it("get their masks in one call and keep what else they hold", () => {
    const objects = [
      { label: "cat", box, codes, span: 1 },
      { label: "dog", box: { ...box, xMax: 0.1 }, codes, span: 2 },
    ];
    const [cat, dog] = decodeSegments(codec, objects, { width: 40, height: 20 });
    expect(cat).toMatchObject({ label: "cat", span: 1, mask: { width: 40, height: 20 } });
    expect(cat?.raster).toHaveLength(4096);
    expect(dog && maskArea(dog.mask)).toBe(0);
  });

  it("are encoded from masks, at their bounds unless told otherwise", () => {
    const data = Uint8Array.from({ length: 800 }, (_, i) =>
      i % 40 >= 10 && i % 40 < 30 && i >= 200 && i < 600 ? 1 : 0,
    );
    const mask = { width: 40, height: 20, data };
    const [tight, loose] = encodeSegments(codec, [
      { label: "cat", mask },
      { label: "cat", mask, box: { yMin: 0, xMin: 0, yMax: 1, xMax: 1 } },
    ]);
    expect(tight).toMatchObject({ label: "cat", box });
    expect(tight?.codes).toHaveLength(16);
    expect(loose?.codes).not.toEqual(tight?.codes);
    expect(() =>
      encodeSegments(codec, [{ label: "cat", mask: { width: 1, height: 1, data: new Uint8Array(1) } }]),
    ).toThrow(/masks\/empty: the mask of "cat"/);
  });
});

describe("pictures", () => {
  const mask = { width: 3, height: 2, data: Uint8Array.of(1, 0, 0, 0, 1, 1) };
  it("hold masks, there and back", async () => {
    const back = await maskFromImage(await maskToPng(mask));
    expect([maskIou(mask, back), back.width]).toEqual([1, 3]);
    await expect(maskFromImage(new Uint8Array(3))).rejects.toThrow(/masks\/image/);
  });

  it("are cut out", async () => {
    const picture = await sharp({ create: { width: 3, height: 2, channels: 3, background: "#102030" } })
      .png()
      .toBuffer();
    const { data, info } = await sharp(await cutOutPng(picture, mask))
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([info.channels, [...data.subarray(0, 8)]]).toEqual([4, [16, 32, 48, 255, 16, 32, 48, 0]]);
  });
});
