import { LOC_COUNT, SEG_COUNT, type MarkupIds } from "./markup.ts";

/** A stretch of the input: characters (UTF-16 units) of a text, or positions in a list of ids. `end` is exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** One unit of an answer. Positions of consecutive pieces cover the input; those cut from one run of ids share its span. */
export interface Piece extends Span {
  readonly kind: "loc" | "seg" | "break" | "text";
  /** Bin or code of a `loc` or `seg`, else 0. */
  readonly value: number;
  /** Text of a `text` or `break`, else empty. */
  readonly text: string;
}

const MARKUP = /<loc(0\d{3}|10[01]\d|102[0-3])>|<seg(0\d\d|1[01]\d|12[0-7])>|;|[\r\n]+|<(?:pad|eos|bos|image)>/g;
const BREAKS = /;|[\r\n]+|<(?:pad|eos|bos|image)>/g;

/** A text as pieces. */
export function lexText(text: string): Piece[] {
  return cut(text, MARKUP);
}

/**
 * Token ids as pieces. Ids outside the markup are decoded run by run; without `decode` they become one text symbol
 * without text. A location that a label merely spells out in letters stays text.
 */
export function lexIds(ids: ArrayLike<number>, markup: MarkupIds, decode?: (ids: number[]) => string): Piece[] {
  const pieces: Piece[] = [];
  let run: number[] = [];
  const flush = (end: number): void => {
    if (run.length === 0) return;
    const start = end - run.length;
    const text = decode?.(run) ?? "";
    const parts = decode === undefined ? [piece("text", 0, "", start, end)] : cut(text, BREAKS);
    // A run that decodes to nothing still has to be accounted for.
    if (parts.length === 0) parts.push(piece("break", 0, "", start, end));
    for (const part of parts) pieces.push({ ...part, start, end });
    run = [];
  };
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    const loc = id - markup.loc;
    const seg = id - markup.seg;
    if (loc >= 0 && loc < LOC_COUNT) {
      flush(i);
      pieces.push(piece("loc", loc, "", i, i + 1));
    } else if (seg >= 0 && seg < SEG_COUNT) {
      flush(i);
      pieces.push(piece("seg", seg, "", i, i + 1));
    } else if (markup.skip.includes(id)) {
      flush(i);
      pieces.push(piece("break", 0, "", i, i + 1));
    } else {
      run.push(id);
    }
  }
  flush(ids.length);
  return pieces;
}

function cut(text: string, pattern: RegExp): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > at) pieces.push(piece("text", 0, text.slice(at, match.index), at, match.index));
    at = match.index + match[0].length;
    if (match[1] !== undefined) pieces.push(piece("loc", Number(match[1]), "", match.index, at));
    else if (match[2] !== undefined) pieces.push(piece("seg", Number(match[2]), "", match.index, at));
    else pieces.push(piece("break", 0, match[0], match.index, at));
  }
  if (at < text.length) pieces.push(piece("text", 0, text.slice(at), at, text.length));
  return pieces;
}

function piece(kind: Piece["kind"], value: number, text: string, start: number, end: number): Piece {
  return { kind, value, text, start, end };
}
