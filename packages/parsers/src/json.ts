import type { Span } from "./lexer.ts";
import { parsed, type Parsed } from "./reading.ts";

/** Any JSON value. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** An answer in JSON. */
export interface ParsedJson extends Parsed<JsonValue> {
  /** True where the answer stops inside the value: members that were complete by then are in `value`, the last one in `rest`. */
  readonly truncated: boolean;
}

// Deeper than any answer; keeps the recursion within the stack and bounds how often text is read again.
const MAX_DEPTH = 100;
// Brackets tried before giving up: each try may read on to the end of the text.
const MAX_STARTS = 256;

/**
 * The first JSON object or array in an answer, with or without a code fence or prose around it; or the whole answer where
 * it is a single JSON value. A comma before a closing bracket is forgiven. Never throws. The inverse is `JSON.stringify`.
 */
export function parseJson(text: string): ParsedJson {
  const whole = fromJson(text);
  if (whole !== undefined) return { ...parsed(text, whole, [{ start: 0, end: text.length }]), truncated: false };
  let truncated = false;
  let starts = 0;
  for (const { index } of text.matchAll(/[[{]/g)) {
    if (++starts > MAX_STARTS) break;
    const read = readValue(text, index, 0);
    if (read === undefined) continue;
    truncated ||= read.cut;
    if (read.value === undefined) continue;
    const fence = fenceAround(text, index, read.end);
    return {
      ...parsed(text, read.value, [{ start: fence?.start ?? index, end: fence?.end ?? read.end }]),
      truncated: read.cut,
    };
  }
  return { ...parsed<JsonValue>(text, undefined, []), truncated };
}

interface Read<T extends JsonValue = JsonValue> {
  /** `undefined` where the text ends before anything was complete. */
  readonly value: T | undefined;
  /** End of what is complete. */
  readonly end: number;
  /** The text ends inside the value. */
  readonly cut: boolean;
}

/** The value that begins at `at`; `undefined` where there is none. */
function readValue(text: string, at: number, depth: number): Read | undefined {
  if (depth > MAX_DEPTH) return undefined;
  if (text[at] === "{") return readContainer(text, at, depth, "}", readMember, Object.fromEntries);
  if (text[at] === "[") return readContainer(text, at, depth, "]", readItem, (items) => items);
  return text[at] === '"' ? readString(text, at) : readWord(text, at);
}

type ReadPart<T> = (
  text: string,
  at: number,
  depth: number,
) => { readonly part: T | undefined; readonly end: number; readonly cut: boolean } | undefined;

function readContainer<T>(
  text: string,
  from: number,
  depth: number,
  close: string,
  readPart: ReadPart<T>,
  build: (parts: T[]) => JsonValue,
): Read | undefined {
  const parts: T[] = [];
  let end = from + 1;
  for (let at = skipSpace(text, end); ; at = skipSpace(text, at)) {
    if (text[at] === close) return { value: build(parts), end: at + 1, cut: false };
    const read = at < text.length ? readPart(text, at, depth + 1) : { part: undefined, end: at, cut: true };
    if (read === undefined) return undefined;
    if (read.part !== undefined) {
      parts.push(read.part);
      end = read.end;
    }
    at = skipSpace(text, read.end);
    if (read.cut || at >= text.length) return { value: parts.length === 0 ? undefined : build(parts), end, cut: true };
    if (text[at] === ",") at++;
    else if (text[at] !== close) return undefined;
  }
}

function readItem(text: string, at: number, depth: number): ReturnType<ReadPart<JsonValue>> {
  const read = readValue(text, at, depth);
  return read && { ...read, part: read.value };
}

function readMember(text: string, at: number, depth: number): ReturnType<ReadPart<readonly [string, JsonValue]>> {
  const unfinished = { part: undefined, end: at, cut: true };
  const key = text[at] === '"' ? readString(text, at) : undefined;
  if (key === undefined) return undefined;
  if (key.value === undefined) return unfinished;
  const colon = skipSpace(text, key.end);
  if (colon >= text.length) return unfinished;
  if (text[colon] !== ":") return undefined;
  const start = skipSpace(text, colon + 1);
  if (start >= text.length) return unfinished;
  const read = readValue(text, start, depth);
  if (read?.value === undefined) return read && unfinished;
  return { part: [key.value, read.value], end: read.end, cut: read.cut };
}

function readString(text: string, at: number): Read<string> | undefined {
  let end = at + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
  if (end >= text.length) return { value: undefined, end: at, cut: true };
  const value = fromJson(text.slice(at, end + 1));
  return typeof value === "string" ? { value, end: end + 1, cut: false } : undefined;
}

/** A number, true, false or null; at the very end of the text it might go on, so there it counts as cut. */
function readWord(text: string, at: number): Read | undefined {
  const match = /^(?:-?\d[\d.eE+-]*|[a-z]+)/.exec(text.slice(at, at + 400));
  if (match === null) return undefined;
  const end = at + match[0].length;
  if (end === text.length) return { value: undefined, end: at, cut: true };
  const value = fromJson(match[0]);
  return value === undefined ? undefined : { value, end, cut: false };
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && " \t\n\r".includes(text[at]!)) at++;
  return at;
}

/** The code fence around a value, three backticks with an optional language. */
function fenceAround(text: string, start: number, end: number): Span | undefined {
  const before = /```[a-z0-9]*\s*$/i.exec(text.slice(Math.max(0, start - 32), start));
  if (before === null) return undefined;
  const after = /^\s{0,99}```/.exec(text.slice(end, end + 128));
  return { start: start - before[0].length, end: end + (after?.[0].length ?? 0) };
}

function fromJson(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}
