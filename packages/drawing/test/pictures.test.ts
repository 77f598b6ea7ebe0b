import { existsSync, writeFileSync } from "node:fs";
import { layoutDrawing, toSvg } from "@paligemma/drawing";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { PICTURES, type Picture } from "./pictures.ts";

// To look at changes and keep them: UPDATE_PICTURES=1 npx vitest run packages/drawing/test/pictures.test.ts
const UPDATE = process.env["UPDATE_PICTURES"] === "1";
const LARGEST = 1000;

/** The drawing over light and dark ground, at most 1000 pixels wide. */
async function render({ width, height, objects, options }: Picture): Promise<Buffer> {
  const shown = { width: Math.min(width, LARGEST), height: Math.round((height * Math.min(width, LARGEST)) / width) };
  const svg = toSvg(layoutDrawing(objects, { width, height }, options)).replace(
    /width="\d+" height="\d+"/,
    `width="${shown.width}" height="${shown.height}"`,
  );
  const ground = Buffer.alloc(shown.width * shown.height * 3);
  for (let i = 0; i < ground.length; i++) {
    const [x, y] = [Math.floor(i / 3) % shown.width, Math.floor(i / 3 / shown.width)];
    ground[i] = Math.round((x / shown.width) * 190 + (i % 3) * 12 + (((x >> 5) + (y >> 5)) % 2) * 24);
  }
  return sharp(ground, { raw: { ...shown, channels: 3 } })
    .composite([{ input: Buffer.from(svg) }])
    .png({ palette: true, colours: 128 })
    .toBuffer();
}

/** Mean difference in levels of 255, of pictures blurred a little: what an eye might see. */
async function visibleDifference(a: Buffer, b: Buffer): Promise<number> {
  const [one, other] = await Promise.all(
    [a, b].map((png) => sharp(png).removeAlpha().blur(1.5).raw().toBuffer({ resolveWithObject: true })),
  );
  if (
    one === undefined ||
    other === undefined ||
    one.info.width !== other.info.width ||
    one.info.height !== other.info.height
  )
    return 255;
  return one.data.reduce((sum, value, i) => sum + Math.abs(value - (other.data[i] ?? 0)), 0) / one.data.length;
}

describe("drawings of difficult pictures", () => {
  it.each(PICTURES.map((picture) => ({ ...picture })))("look as they did: $name", async (picture) => {
    const file = new URL(`fixtures/${picture.name}.png`, import.meta.url);
    const png = await render(picture);
    if (UPDATE || !existsSync(file)) {
      expect(UPDATE, `no reference ${picture.name}.png: look at it, then keep it with UPDATE_PICTURES=1`).toBe(true);
      writeFileSync(file, png);
    }
    expect(await visibleDifference(png, await sharp(file.pathname).png().toBuffer())).toBeLessThan(
      TOLERANCES["drawing/visible"],
    );
  });

  it("notices a missing label", async () => {
    const picture = PICTURES.find(({ name }) => name === "hundred-pixels");
    if (picture === undefined) throw new Error("renamed?");
    const without = await render({ ...picture, options: { labels: false } });
    expect(await visibleDifference(without, await render(picture))).toBeGreaterThan(TOLERANCES["drawing/visible"]);
  });

  it("shows every label of all but the fullest pictures", () => {
    const unplaced = PICTURES.filter((picture) => layoutDrawing(picture.objects, picture).unplaced.length > 0).map(
      ({ name }) => name,
    );
    expect(unplaced).toEqual([]);
  });
});
