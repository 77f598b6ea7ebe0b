import type { Span } from "./lexer.ts";

/** A value read from an answer, and the text that is not part of it. */
export interface Parsed<T> {
  /** `undefined` where the answer holds no such value. */
  readonly value: T | undefined;
  /** Text beside the value, its pieces trimmed and joined by newlines; empty when all was understood. */
  readonly rest: string;
  /** Where the value stands, in characters; together with `restSpans` it covers the text. */
  readonly spans: readonly Span[];
  /** Where the pieces of `rest` stand. */
  readonly restSpans: readonly Span[];
}

/** `value`, read from `spans` of the text; all else is rest. Gaps of nothing but `silent` characters count as read. */
export function parsed<T>(
  text: string,
  value: T | undefined,
  spans: readonly Span[],
  silent: RegExp = /^\s*$/,
): Parsed<T> {
  const restSpans: Span[] = [];
  const covered: Span[] = [];
  let at = 0;
  const gap = (end: number): void => {
    if (end <= at) return;
    const isSilent = silent.test(text.slice(at, end)) && (spans.length > 0 || value !== undefined);
    (isSilent ? covered : restSpans).push({ start: at, end });
  };
  for (const span of spans) {
    gap(span.start);
    covered.push(span);
    at = Math.max(at, span.end);
  }
  gap(text.length);
  return { value, rest: restText(text, restSpans), spans: covered, restSpans };
}

/** The trimmed pieces of a text at `spans`, blank ones left out, one per line. */
export function restText(text: string, spans: readonly Span[]): string {
  return spans
    .map(({ start, end }) => text.slice(start, end).trim())
    .filter((piece) => piece !== "")
    .join("\n");
}
