import { PaliGemmaError } from "@paligemma/core";
import { checkSize, emptyMask, type Mask } from "./mask.ts";

/** COCO's run lengths: column by column, outside first. */
export interface Rle {
  /** Height, width. */
  readonly size: readonly [number, number];
  readonly counts: readonly number[];
}

/** COCO's run lengths packed into a string, as `pycocotools` and results files have them. */
export interface CompressedRle {
  readonly size: readonly [number, number];
  readonly counts: string;
}

/** A mask as run lengths. */
export function rleFromMask({ width, height, data }: Mask): Rle {
  const counts: number[] = [];
  let [run, inside] = [0, 0];
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const value = data[y * width + x] ? 1 : 0;
      if (value !== inside) {
        counts.push(run);
        [run, inside] = [0, value];
      }
      run++;
    }
  }
  return { size: [height, width], counts: [...counts, run] };
}

/** Run lengths, packed or not, as a mask. Throws `masks/rle` where they do not fill the size. */
export function maskFromRle(rle: Rle | CompressedRle): Mask {
  const { size, counts } = decompressRle(rle);
  const [height, width] = size;
  const mask = emptyMask(width, height);
  let at = 0;
  for (const [i, run] of counts.entries()) {
    for (let k = 0; k < run; k++, at++) if (i % 2 === 1) mask.data[(at % height) * width + Math.floor(at / height)] = 1;
  }
  return mask;
}

/** Pixels inside. Throws `masks/rle`. */
export function rleArea(rle: Rle | CompressedRle): number {
  return decompressRle(rle).counts.reduce((area, run, i) => (i % 2 === 1 ? area + run : area), 0);
}

/** Run lengths packed into a string; already packed ones as they are. Throws `masks/rle`. */
export function compressRle(rle: Rle | CompressedRle): CompressedRle {
  if (isPacked(rle)) return rle;
  const { size, counts } = checked(rle);
  let text = "";
  for (const [i, count] of counts.entries()) {
    // From the fourth run on, the difference to the run before the last one is written; five bits a letter, lowest first.
    let rest = i > 2 ? count - counts[i - 2]! : count;
    for (let more = true; more;) {
      const bits = rest & 31;
      rest >>= 5;
      more = bits & 16 ? rest !== -1 : rest !== 0;
      text += String.fromCharCode((more ? bits | 32 : bits) + 48);
    }
  }
  return { size, counts: text };
}

/** Run lengths as numbers; throws `masks/rle` for a string that is broken or does not fill the size. */
export function decompressRle(rle: Rle | CompressedRle): Rle {
  if (!isPacked(rle)) return checked(rle);
  const { size, counts: text } = rle;
  const counts: number[] = [];
  for (let at = 0; at < text.length;) {
    let [value, shift, more] = [0, 0, true];
    while (more) {
      const bits = text.charCodeAt(at++) - 48;
      if (!(bits >= 0 && bits < 64) || shift > 30)
        throw broken(size, `letter ${at} of ${text.length} cannot stand there`);
      value |= (bits & 31) << shift;
      shift += 5;
      more = (bits & 32) !== 0;
      if (!more && bits & 16 && shift < 32) value |= -1 << shift;
    }
    counts.push(counts.length > 2 ? value + counts.at(-2)! : value);
  }
  return checked({ size, counts });
}

function checked(rle: Rle): Rle {
  const [height, width] = rle.size;
  checkSize(width, height);
  const wrong = rle.counts.find((count) => !Number.isInteger(count) || count < 0);
  if (wrong !== undefined) throw broken(rle.size, `a run of ${wrong} pixels`);
  const sum = rle.counts.reduce((a, b) => a + b, 0);
  if (sum !== width * height) throw broken(rle.size, `runs of ${sum} pixels together`);
  return rle;
}

function isPacked(rle: Rle | CompressedRle): rle is CompressedRle {
  return typeof rle.counts === "string";
}

function broken([height, width]: readonly [number, number], problem: string): PaliGemmaError {
  return new PaliGemmaError(
    "masks/rle",
    `run lengths of a mask of ${height} × ${width}: ${problem}; they must fill ${height * width} pixels`,
  );
}
