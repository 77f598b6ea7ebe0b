import { PaliGemmaError } from "./errors.ts";

// Grammar and ids: big_vision's PaliGemma tokenizer appends 1024 <loc> and 128 <seg> pieces to Gemma's 256000.
// https://github.com/google-research/big_vision/blob/main/big_vision/configs/proj/paligemma/README.md

/** How many `<loc0000>` … `<loc1023>` there are. */
export const LOC_COUNT = 1024;
/** How many `<seg000>` … `<seg127>` there are. */
export const SEG_COUNT = 128;
/** `<loc>` tokens of one box: yMin, xMin, yMax, xMax. */
export const LOCS_PER_BOX = 4;
/** `<seg>` tokens of one mask: a grid of 4 × 4 codes, row by row. */
export const SEGS_PER_MASK = 16;

/** By what a bin number is divided: 1023 inverts the published encoder, 1024 is what most notebooks and demos do. */
export type BinDivisor = 1023 | 1024;

/** Token ids of the location markup in one vocabulary. */
export interface MarkupIds {
  /** Id of `<loc0000>`; the other 1023 follow it. */
  readonly loc: number;
  /** Id of `<seg000>`; the other 127 follow it. */
  readonly seg: number;
  /** Ids that say nothing in an answer (end, begin, padding); they separate objects. */
  readonly skip: readonly number[];
}

/** The ids of every released PaliGemma: 256000 and 257024; skipped: `<pad>`, `<eos>`, `<bos>`, `<image>`. */
export const PALIGEMMA_IDS: MarkupIds = { loc: 256_000, seg: 257_024, skip: [0, 1, 2, 257_152] };

const SILENT_TOKENS = ["<pad>", "<eos>", "<bos>", "<image>"];

/**
 * The markup's ids in any vocabulary, by looking tokens up. Throws `parsers/vocabulary` where the markup is missing or
 * its ids do not follow each other.
 */
export function markupIds(idOf: (token: string) => number | undefined): MarkupIds {
  return {
    loc: firstOfRun(idOf, locToken, LOC_COUNT),
    seg: firstOfRun(idOf, segToken, SEG_COUNT),
    skip: SILENT_TOKENS.map(idOf).filter((id) => id !== undefined),
  };
}

function firstOfRun(idOf: (token: string) => number | undefined, token: (n: number) => string, count: number): number {
  const first = idOf(token(0));
  for (let n = 0; n < count; n++) {
    const id = idOf(token(n));
    if (first === undefined || id !== first + n) {
      throw new PaliGemmaError(
        "parsers/vocabulary",
        `${token(n)} has id ${id ?? "none"}, expected ${first === undefined ? "one" : first + n}: ` +
          `${token(0)} … ${token(count - 1)} must have ids that follow each other. Is this a PaliGemma tokenizer?`,
      );
    }
  }
  return first!;
}

/** The text of a location token, `<loc0000>` to `<loc1023>`. */
export function locToken(bin: number): string {
  return `<loc${String(bin).padStart(4, "0")}>`;
}

/** The text of a mask code, `<seg000>` to `<seg127>`. */
export function segToken(code: number): string {
  return `<seg${String(code).padStart(3, "0")}>`;
}

/**
 * The bin of a normalised coordinate, 0 to 1023: rounded half to even and clipped, as the published encoder does.
 * Throws `parsers/box` for NaN.
 */
export function coordinateToBin(coordinate: number, divisor: BinDivisor = 1023): number {
  if (Number.isNaN(coordinate))
    throw new PaliGemmaError("parsers/box", "a coordinate is NaN; boxes are numbers from 0 to 1");
  const scaled = Math.min(Math.max(coordinate * divisor, 0), LOC_COUNT - 1);
  const low = Math.floor(scaled);
  const up = scaled - low > 0.5 || (scaled - low === 0.5 && low % 2 === 1);
  return up ? low + 1 : low;
}

/** The normalised coordinate of a bin. */
export function binToCoordinate(bin: number, divisor: BinDivisor = 1023): number {
  return bin / divisor;
}
