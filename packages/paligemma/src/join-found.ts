import type { ParsedDetections, Span } from "@paligemma/parsers";

/** One answer of several: its text, its length in ids, and what was read in it. */
export interface FoundPart {
  readonly text: string;
  readonly length: number;
  readonly found: ParsedDetections;
}

/** Answers to one label each as one answer, in their order; spans count on through their ids. */
export function joinFound(parts: readonly FoundPart[]): ParsedDetections & { readonly text: string } {
  const nonEmpty = (texts: readonly string[]): readonly string[] => texts.filter((text) => text !== "");
  const starts = parts.map((_, i) => parts.slice(0, i).reduce((sum, { length }) => sum + length, 0));
  const moved = ({ start, end }: Span, by: number): Span => ({ start: start + by, end: end + by });
  return {
    text: nonEmpty(parts.map(({ text }) => text)).join(" ; "),
    items: parts.flatMap(({ found }, i) =>
      found.items.map((item) => ({ ...item, span: moved(item.span, starts[i]!) })),
    ),
    rest: nonEmpty(parts.map(({ found }) => found.rest)).join("\n"),
    restSpans: parts.flatMap(({ found }, i) => found.restSpans.map((span) => moved(span, starts[i]!))),
    truncated: parts.some(({ found }) => found.truncated),
  };
}
