import { drawOnCanvas, layoutDrawing, toSvg } from "@paligemma/drawing";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { PICTURES, type Picture } from "./pictures.ts";

/** Pixels of a ground with something drawn over it, blurred a little, at most 1000 wide. */
async function pixels(
  { width, height }: Picture,
  draw: (context: OffscreenCanvasRenderingContext2D) => Promise<void> | void,
): Promise<Uint8ClampedArray> {
  const scale = Math.min(1, 1000 / width);
  const size = [Math.round(width * scale), Math.round(height * scale)] as const;
  const context = new OffscreenCanvas(...size).getContext("2d")!;
  context.fillStyle = "#808890";
  context.fillRect(0, 0, ...size);
  context.scale(scale, scale);
  await draw(context);
  const blurred = new OffscreenCanvas(...size).getContext("2d", { willReadFrequently: true })!;
  blurred.filter = "blur(1.5px)";
  blurred.drawImage(context.canvas, 0, 0);
  return blurred.getImageData(0, 0, ...size).data;
}

/** The drawing's SVG as the browser itself shows it. */
async function asPicture(svg: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  await image.decode();
  URL.revokeObjectURL(image.src);
  return image;
}

describe("a real canvas shows the same as the SVG", () => {
  it.each(PICTURES.map((picture) => ({ ...picture })))("of $name", async (picture) => {
    const drawing = layoutDrawing(picture.objects, picture, picture.options);
    const onCanvas = await pixels(picture, (context) => drawOnCanvas(context, drawing));
    const svg = await asPicture(toSvg(drawing));
    const asSvg = await pixels(picture, (context) => context.drawImage(svg, 0, 0, picture.width, picture.height));
    const bare = await pixels(picture, () => {});
    const difference = (a: Uint8ClampedArray, b: Uint8ClampedArray): number =>
      a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;
    expect(difference(onCanvas, asSvg)).toBeLessThan(TOLERANCES["drawing/visible"]);
    expect(difference(onCanvas, bare)).toBeGreaterThan(difference(onCanvas, asSvg));
  });
});
