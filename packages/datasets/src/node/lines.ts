import type { ProblemCode } from "../problems.ts";
import { fileChunks } from "./files.ts";

/** One line of a text file, from 1, without its end; or why it cannot be read as text. */
export type Line =
  | { readonly number: number; readonly text: string }
  | {
      readonly number: number;
      readonly text: string;
      readonly problem: { readonly code: ProblemCode; readonly message: string };
    };

/** The longest line: far above any record, below what would fill the memory. */
export const MAX_LINE_BYTES: number = 4 * 2 ** 20;

const NEWLINE = 0x0a;

/** The lines of a file, one chunk in memory at a time. Empty lines are left out. */
export async function* readLines(path: string, signal?: AbortSignal): AsyncGenerator<Line, void, undefined> {
  let pieces: Uint8Array[] = [];
  let held = 0;
  let number = 1;
  const finish = (): Line | undefined => {
    const bytes = Buffer.concat(pieces);
    const tooLong = held > MAX_LINE_BYTES;
    pieces = [];
    held = 0;
    return toLine(bytes, number++, tooLong);
  };
  const hold = (piece: Uint8Array): void => {
    // Of a line that is too long only the beginning is kept, to show it.
    if (held <= MAX_LINE_BYTES) pieces.push(held + piece.length > MAX_LINE_BYTES ? piece.subarray(0, 4096) : piece);
    held += piece.length;
  };
  for await (const bytes of fileChunks(path, signal)) {
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
      hold(bytes.subarray(from, at));
      from = at + 1;
      const line = finish();
      if (line) yield line;
    }
    if (from < bytes.length) hold(bytes.subarray(from));
  }
  const line = finish();
  if (line) yield line;
}

function toLine(bytes: Buffer, number: number, tooLong: boolean): Line | undefined {
  if (tooLong) {
    return {
      number,
      text: bytes.toString("latin1", 0, 200),
      problem: {
        code: "line/too-long",
        message: `the line has more than ${MAX_LINE_BYTES} bytes; is the file one record per line?`,
      },
    };
  }
  const start =
    number === 1 && bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  const end = bytes.at(-1) === 0x0d ? bytes.length - 1 : bytes.length;
  if (end <= start) return undefined;
  const content = bytes.subarray(start, end);
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
    return text.trim() === "" ? undefined : { number, text };
  } catch {
    return {
      number,
      text: content.toString("latin1"),
      problem: { code: "line/encoding", message: "the line is no UTF-8; convert the file" },
    };
  }
}
