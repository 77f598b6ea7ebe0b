import { drawDetections } from "@paligemma/drawing/node";
import sharp from "sharp";
import { describe, expect, it } from "vitest";

const grey = (width: number, height: number): Promise<Buffer> =>
  sharp({ create: { width, height, channels: 3, background: "#808080" } })
    .jpeg()
    .toBuffer();
const box = { yMin: 0.25, xMin: 0.25, yMax: 0.75, xMax: 0.75 };

describe("drawDetections", () => {
  it("returns a PNG of the picture's size with a box where it belongs", async () => {
    const png = await drawDetections(await grey(200, 100), [{ label: "", box, color: "#ff0000" }]);
    const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([200, 100]);
    const at = (x: number, y: number): number[] => [...data.subarray((y * 200 + x) * 3, (y * 200 + x) * 3 + 3)];
    expect(at(50, 50)[0]).toBeGreaterThan(180);
    expect(at(50, 50)[1]).toBeLessThan(100);
    expect(at(100, 50)).toEqual([128, 128, 128]);
  });

  it("turns the picture upright first", async () => {
    const turned = await sharp(await grey(200, 100))
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    const { width, height } = await sharp(await drawDetections(turned, [])).metadata();
    expect([width, height]).toEqual([100, 200]);
  });

  it("refuses what is no picture", async () => {
    await expect(drawDetections(new Uint8Array(0), [])).rejects.toThrow(/drawing\/image/);
    await expect(drawDetections(new TextEncoder().encode("hello"), [])).rejects.toThrow(/drawing\/image: 5 bytes/);
  });
});
