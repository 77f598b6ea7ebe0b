import type { Box } from "./boxes.ts";
import { parseDetections } from "./detections.ts";
import { PaliGemmaError, refuseUnknownOptions } from "./errors.ts";
import { formatDetections, writableLabel } from "./format-detections.ts";
import type { Span } from "./lexer.ts";

/** What stands between the items of a list. */
export type ListSeparator = ";" | "," | "\n";

/** An item of a list, trimmed and without its bullet. Its span includes the separator behind it. */
export interface ListItem {
  readonly text: string;
  readonly span: Span;
}

/** How a list is written. */
export interface ParseListOptions {
  /** Default: line breaks if there are any, else semicolons if there are any, else commas. */
  readonly separator?: ListSeparator;
}

const BULLET = /^(?:[-*•‣–]|\d{1,3}[.)])\s+/u;
const JOINTS = { ";": " ; ", ",": ", ", "\n": "\n" } as const;

/**
 * The items of a list in an answer; bullets and numbers before lines are taken off, empty items are left out. The spans
 * of the items cover the text, unless it has no items at all.
 */
export function parseList(text: string, options: ParseListOptions = {}): readonly ListItem[] {
  refuseUnknownOptions(options, ["separator"]);
  const separator = options.separator ?? (["\n", ";"] as const).find((mark) => text.trim().includes(mark)) ?? ",";
  return cut(text, separator).map(({ text: item, span }) => ({
    text: separator === "\n" ? item.replace(BULLET, "") : item,
    span,
  }));
}

function cut(text: string, separator: string): readonly ListItem[] {
  const items: { text: string; span: { start: number; end: number } }[] = [];
  let end = 0;
  for (const part of text.split(separator)) {
    end = Math.min(end + part.length + separator.length, text.length);
    const last = items.at(-1);
    if (part.trim() !== "") items.push({ text: part.trim(), span: { start: last?.span.end ?? 0, end } });
    else if (last !== undefined) last.span.end = end;
  }
  return items;
}

/** The items joined, as `parseList` with the same separator reads them back. Throws `parsers/list` for items it would not. */
export function formatList(items: readonly string[], separator: ListSeparator = ";"): string {
  for (const item of items) {
    if (item === "" || item !== item.trim() || item.includes(separator) || (separator === "\n" && BULLET.test(item))) {
      const why = "it is empty, begins with a bullet, has space at its ends, or holds the separator";
      throw new PaliGemmaError(
        "parsers/list",
        `${JSON.stringify(item)} cannot be an item between ${JSON.stringify(separator)}: ${why}`,
      );
    }
  }
  return items.join(JOINTS[separator]);
}

/** A line of recognised text. */
export interface OcrLine {
  readonly text: string;
  /** Where it stands in the image, as fractions, where the checkpoint says so. */
  readonly box?: Box;
}

/** The lines of an `ocr` answer, each with its box if it has exactly one; blank lines are left out. */
export function parseOcrLines(text: string): readonly (OcrLine & { readonly span: Span })[] {
  return cut(text, "\n").map(({ text: line, span }) => {
    const { items, rest } = parseDetections(line);
    const [only] = items;
    return only !== undefined && items.length === 1 && rest === ""
      ? { text: only.label, box: only.box, span }
      : { text: line, span };
  });
}

/** Lines as an `ocr` answer, each box behind its text. Throws `parsers/list` or `parsers/label` for what is not one line. */
export function formatOcrLines(lines: readonly OcrLine[]): string {
  return lines.map(lineOf).join("\n");
}

function lineOf({ text, box }: OcrLine): string {
  if (box !== undefined) return `${writableLabel(text)} ${formatDetections([{ label: "", box }])}`.trim();
  if (text !== "" && text === text.trim() && !text.includes("\n")) return text;
  throw new PaliGemmaError(
    "parsers/list",
    `${JSON.stringify(text)} is no line of text: it is blank, has space at its ends, or a line break`,
  );
}
