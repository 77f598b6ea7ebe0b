import { drawOnCanvas, layoutDrawing, type DrawnObject } from "@paligemma/drawing";
import type { Found } from "../model/protocol.ts";

/** Rasters of the mask codec: 64 × 64, inside where positive. */
const MASK_SIDE = 64;

/** Objects as the drawing takes them; `lit` alone keeps its full mask. */
export function drawn(found: readonly Found[], lit?: number): DrawnObject[] {
  return found
    .map(({ label, box, mask }): DrawnObject => ({
      label,
      box,
      ...(mask && { mask: { data: mask, width: MASK_SIDE, height: MASK_SIDE, threshold: 0, area: box } }),
    }))
    .map((object, i) => (lit === undefined || lit === i ? object : { box: object.box!, label: "", color: "#9a9a9a" }));
}

/** Draws over a canvas of `width` × `height` pixels which shows the picture or lies over it. */
export function drawFound(
  context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D,
  found: readonly Found[],
  size: { readonly width: number; readonly height: number; readonly scale?: number },
  lit?: number,
): void {
  const { width, height, scale = 1 } = size;
  const mean = Math.sqrt(width * height);
  const options = {
    fontSize: Math.max(13 * scale, 0.024 * mean),
    lineWidth: Math.max(2 * scale, 0.004 * mean),
    otherScripts: "system",
  } as const;
  drawOnCanvas(context, layoutDrawing(drawn(found, lit), { width, height }, options));
}

/** The picture with the drawing over it, as a PNG of the picture's own size. */
export async function drawingPng(picture: Blob, found: readonly Found[]): Promise<Blob> {
  const bitmap = await createImageBitmap(picture);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d")!;
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  if (found.length > 0) drawFound(context, found, { width: canvas.width, height: canvas.height });
  return await canvas.convertToBlob({ type: "image/png" });
}
