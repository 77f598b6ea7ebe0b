import { join } from "node:path";
import type { DrawnObject } from "@paligemma/drawing";
import { decodeSegments, type MaskCodec } from "@paligemma/masks";
import { parseDetections } from "@paligemma/parsers";
import sharp from "sharp";
import { contactSheet, type SheetCell } from "../contact-sheet.ts";
import { textOf } from "./answers.ts";
import type { WorstCase } from "./report.ts";

const COLUMNS = 4;

/** PNG bytes of the worst answers: each picture with the boxes and masks of its answer, what was asked, expected and said. */
export async function worstSheet(
  cases: readonly WorstCase[],
  images: string,
  codec: () => Promise<MaskCodec>,
): Promise<Uint8Array> {
  const cells = await Promise.all(cases.map((worst) => cellOf(worst, join(images, worst.image), codec)));
  return await contactSheet(cells, Math.min(COLUMNS, cells.length));
}

async function cellOf(
  { prompt, expected, answer, score }: WorstCase,
  path: string,
  codec: () => Promise<MaskCodec>,
): Promise<SheetCell> {
  const { autoOrient } = await sharp(path).metadata();
  return {
    path,
    objects: await objectsOf(answer, autoOrient, codec),
    lines: [`${score.toFixed(2)}  ${prompt}`, `expected ${plain(textOf(expected[0]!))}`, `answered ${plain(answer)}`],
  };
}

async function objectsOf(
  answer: string,
  size: { readonly width: number; readonly height: number },
  codec: () => Promise<MaskCodec>,
): Promise<readonly DrawnObject[]> {
  const { items } = parseDetections(answer);
  const bare = items.filter(({ codes }) => codes === undefined).map(({ label, box }) => ({ label, box }));
  const coded = items.flatMap(({ label, box, codes }) => (codes ? [{ label, box, codes }] : []));
  if (coded.length === 0) return bare;
  return [...bare, ...decodeSegments(await codec(), coded, size)];
}

/** Boxes and masks are drawn; their labels are enough in words. */
function plain(text: string): string {
  const { items, rest } = parseDetections(text);
  const words = items.length === 0 ? text : [...items.map(({ label }) => label || "(no label)"), rest].join(" ; ");
  return words.replace(/ ; $/, "") || "(nothing)";
}
