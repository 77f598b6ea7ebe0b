import { PaliGemmaError, refuseUnknownOptions } from "./errors.ts";
import type { Span } from "./lexer.ts";
import { parsed, type Parsed } from "./reading.ts";

// content := item ("<sep/>" item)*       item := field* | text       field := "<s_key>" content "</s_key>"
// The format of Donut (https://github.com/clovaai/donut, `json2token` and `token2json`), which receipt notebooks use.

/** What tags can hold: text, lists, and objects by key. Numbers come back as text. */
export type TagValue = string | readonly TagValue[] | { readonly [key: string]: TagValue };

/** An answer in tags. */
export interface ParsedTags extends Parsed<TagValue> {
  /** True where the answer stops before all its tags are closed; fields closed by then are in `value`, the open one in `rest`. */
  readonly truncated: boolean;
}

const TAG = /<s_([^<>/]+)>|<\/s_([^<>/]+)>|<sep\/>/gi;
// Deeper nesting than any form has; keeps recursion over the value (printing, comparing) within the stack.
const MAX_DEPTH = 100;

interface Open {
  readonly key: string;
  readonly tag: Span;
  readonly items: Item[];
}
interface Item {
  fields: { readonly key: string; readonly value: TagValue; readonly spans: readonly Span[] }[];
  texts: Span[];
  separator: Span | undefined;
}

/**
 * The value of an answer in tags. Text without tags is a string. A key that stands twice in an object becomes a list. A
 * field that is never closed, text beside fields, and closing tags without an opening one are rest. Never throws.
 */
export function parseTags(text: string): ParsedTags {
  const stack: Open[] = [{ key: "", tag: { start: 0, end: 0 }, items: [newItem()] }];
  const current = (): Open => stack.at(-1)!;
  let at = 0;
  for (const match of text.matchAll(TAG)) {
    const tag = { start: match.index, end: match.index + match[0].length };
    addText(current(), text, at, tag.start);
    at = tag.end;
    const closing = match[2];
    if (match[1] !== undefined) {
      // A tag too deep is left to the rest, and so is its end.
      if (stack.length <= MAX_DEPTH) stack.push({ key: match[1], tag, items: [newItem()] });
    } else if (closing === undefined) {
      current().items.at(-1)!.separator = tag;
      current().items.push(newItem());
    } else {
      const level = stack.findLastIndex((open, i) => i > 0 && open.key.toLowerCase() === closing.toLowerCase());
      if (level < 0) continue;
      while (stack.length > level + 1) adopt(stack);
      const open = stack.pop()!;
      const { value, spans } = close(open, text);
      current()
        .items.at(-1)!
        .fields.push({ key: open.key, value, spans: [open.tag, ...spans, tag] });
    }
  }
  addText(current(), text, at, text.length);
  const truncated = stack.length > 1;
  while (stack.length > 1) adopt(stack);
  const { value, spans } = close(stack[0]!, text);
  const hasValue = value !== "" && !(truncated && typeof value === "string");
  return { ...parsed(text, hasValue ? value : undefined, hasValue ? spans : []), truncated };
}

/** How to write tags. */
export interface FormatTagsOptions {
  /** `reverse` (default) sorts keys backwards, as the tool that made the known training data does; `given` keeps their order. */
  readonly keyOrder?: "reverse" | "given";
}

/**
 * A value in tags. `parseTags` gives it back, except that the format itself has no lists of one item (they come back as
 * the item) and nothing empty. Throws `parsers/tags` for text or keys that would be read as tags, and for what is empty.
 */
export function formatTags(value: TagValue, options: FormatTagsOptions = {}): string {
  refuseUnknownOptions(options, ["keyOrder"]);
  if (typeof value === "string") return checkedText(value);
  if (isList(value)) {
    if (value.length === 0)
      throw new PaliGemmaError("parsers/tags", "an empty list cannot be written in tags; leave its key out");
    if (value.some(isList))
      throw new PaliGemmaError(
        "parsers/tags",
        "a list directly inside a list cannot be written in tags; give it a key",
      );
    return value.map((item) => formatTags(item, options)).join("<sep/>");
  }
  const keys = Object.keys(value);
  if (keys.length === 0)
    throw new PaliGemmaError("parsers/tags", "an empty object cannot be written in tags; leave its key out");
  const ordered = options.keyOrder === "given" ? keys : keys.toSorted().toReversed();
  return ordered.map((key) => `<s_${checkedKey(key)}>${formatTags(value[key]!, options)}</s_${key}>`).join("");
}

function newItem(): Item {
  return { fields: [], texts: [], separator: undefined };
}

function addText(open: Open, text: string, start: number, end: number): void {
  if (text.slice(start, end).trim() !== "") open.items.at(-1)!.texts.push({ start, end });
}

/** The innermost open field is never closed: what was closed inside it stays, under its key; its open text is rest. */
function adopt(stack: Open[]): void {
  const open = stack.pop()!;
  const items = open.items.filter((item) => item.fields.length > 0);
  if (items.length === 0) return;
  const { value, spans } = valueOf(items);
  stack
    .at(-1)!
    .items.at(-1)!
    .fields.push({ key: open.key, value, spans: [open.tag, ...spans] });
}

/** Value of a closed field: a list where there are separators; an item with fields is an object, its loose text rest. */
function close(open: Open, text: string): { value: TagValue; spans: readonly Span[] } {
  return valueOf(
    open.items.filter((item) => item.fields.length > 0 || item.texts.length > 0),
    text,
  );
}

function valueOf(items: readonly Item[], text?: string): { value: TagValue; spans: readonly Span[] } {
  const spans: Span[] = [];
  const values = items.map((item): TagValue => {
    if (item.fields.length === 0 && text !== undefined) spans.push(...item.texts);
    for (const field of item.fields) spans.push(...field.spans);
    if (item.separator !== undefined) spans.push(item.separator);
    if (item.fields.length === 0)
      return item.texts.map(({ start, end }) => (text ?? "").slice(start, end).trim()).join(" ");
    return objectOf(item.fields);
  });
  return { value: values.length === 1 ? values[0]! : values.length === 0 ? "" : values, spans };
}

function objectOf(fields: Item["fields"]): TagValue {
  const entries = new Map<string, TagValue[]>();
  for (const { key, value } of fields) {
    const values = entries.get(key);
    if (values === undefined) entries.set(key, [value]);
    else values.push(value);
  }
  // fromEntries defines keys, so that one named __proto__ stays a key.
  return Object.fromEntries([...entries].map(([key, values]) => [key, values.length === 1 ? values[0]! : values]));
}

function isList(value: TagValue): value is readonly TagValue[] {
  return Array.isArray(value);
}

function checkedText(text: string): string {
  if (text !== "" && text === text.trim() && text.search(TAG) < 0) return text;
  throw new PaliGemmaError(
    "parsers/tags",
    `the text ${JSON.stringify(text)} cannot be written: it is empty, holds a tag, or has space at its ends`,
  );
}

function checkedKey(key: string): string {
  if (/^[^<>/]+$/.test(key)) return key;
  throw new PaliGemmaError(
    "parsers/tags",
    `the key ${JSON.stringify(key)} cannot be written: it is empty or holds one of < > /`,
  );
}
