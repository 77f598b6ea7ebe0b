import { fitText, layoutDrawing, pathData, textPath, toSvg, type DrawnObject } from "@paligemma/drawing";
import sharp from "sharp";

/** One picture of a sheet: its file, what is drawn on it, and what is written below. */
export interface SheetCell {
  readonly path: string;
  readonly objects: readonly DrawnObject[];
  readonly lines: readonly string[];
}

const CELL = 320;
const PICTURE = 240;
const MARGIN = 8;
const FONT = 12;
const LINES = 4;
const HEIGHT = PICTURE + LINES * FONT * 1.3 + 2 * MARGIN;

/** PNG bytes of pictures in rows, each with its boxes, masks and texts. */
export async function contactSheet(cells: readonly SheetCell[], columns: number): Promise<Uint8Array> {
  const images = await Promise.all(cells.map(drawCell));
  const rows = Math.ceil(cells.length / columns);
  const sheet = sharp({
    create: { width: columns * CELL, height: Math.ceil(rows * HEIGHT), channels: 3, background: "#ffffff" },
  });
  const placed = images.map((input, i) => ({
    input,
    left: (i % columns) * CELL,
    top: Math.floor(Math.floor(i / columns) * HEIGHT),
  }));
  return sheet.composite(placed).png().toBuffer();
}

async function drawCell({ path, objects, lines }: SheetCell): Promise<Buffer> {
  const inside = { width: CELL - 2 * MARGIN, height: PICTURE - MARGIN, fit: "inside" } as const;
  const { data, info } = await sharp(path)
    .autoOrient()
    .flatten({ background: "#ffffff" })
    .toColourspace("srgb")
    .resize(inside)
    .png()
    .toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  const [left, top] = [Math.floor((CELL - width) / 2), MARGIN + Math.floor((PICTURE - MARGIN - height) / 2)];
  const drawing = Buffer.from(toSvg(layoutDrawing(objects, { width, height }, { fontSize: 11 })));
  return sharp({ create: { width: CELL, height: Math.floor(HEIGHT), channels: 3, background: "#ffffff" } })
    .composite([
      { input: data, left, top },
      { input: drawing, left, top },
      { input: Buffer.from(caption(lines)), left: 0, top: PICTURE },
    ])
    .png()
    .toBuffer();
}

/** The texts as outlines, so that a sheet looks the same without fonts; what does not fit ends in an ellipsis. */
function caption(lines: readonly string[]): string {
  const shown = lines
    .flatMap((line) => wrapped(line.replaceAll("\n", " ⏎ "), (CELL - 2 * MARGIN) / FONT))
    .slice(0, LINES);
  const paths = shown.map(
    (text, i) => `<path fill="#222222" d="${pathData(textPath(text, MARGIN, MARGIN + FONT * (1 + i * 1.3), FONT))}"/>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${CELL}" height="${Math.floor(HEIGHT - PICTURE)}">${paths.join("")}</svg>`;
}

/** A text in two lines at most, `width` em each. */
function wrapped(text: string, width: number): string[] {
  const first = fitText(text, width);
  if (first === text) return [text];
  const words = first.replace(/…$/, "").lastIndexOf(" ");
  const cut = words > 0 ? words : first.length - 1;
  return [text.slice(0, cut), fitText(text.slice(cut).trim(), width)];
}
