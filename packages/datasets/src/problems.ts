/** Kinds of mistakes in training data; stable, to count and filter by. */
export type ProblemCode =
  | "line/encoding"
  | "line/too-long"
  | "json/syntax"
  | "json/not-object"
  | "row/columns"
  | "xml/syntax"
  | "field/missing"
  | "field/type"
  | "field/ambiguous"
  | "image/outside"
  | "image/not-found"
  | "image/unreadable"
  | "image/size"
  | "image/size-differs"
  | "image/duplicate"
  | "text/special-token"
  | "text/control-character"
  | "text/newline"
  | "answer/empty"
  | "answer/too-long"
  | "answer/json"
  | "answer/outside-objects"
  | "loc/number"
  | "loc/incomplete"
  | "seg/number"
  | "seg/incomplete"
  | "seg/missing"
  | "seg/unexpected"
  | "box/numbers"
  | "box/swapped-axes"
  | "box/empty"
  | "box/inverted"
  | "box/outside"
  | "mask/broken"
  | "mask/missing"
  | "mask/empty"
  | "label/empty"
  | "label/separator"
  | "label/unknown"
  | "object/duplicate"
  | "annotation/image";

/** One mistake: its kind, and in words what is wrong, what was expected and where. */
export interface Problem {
  readonly code: ProblemCode;
  readonly message: string;
  /** Line of the mistake, where it differs from its record's. */
  readonly line?: number;
}

/** Where a record stands: a file below the dataset's folder, and a line from 1. */
export interface Origin {
  readonly file: string;
  readonly line: number;
}

/** A record with mistakes, and how it was written (at most `MAX_SHOWN` characters of it). */
export interface BadRecord {
  readonly origin: Origin;
  readonly problems: readonly Problem[];
  readonly source: string;
}

/** How much of a bad record is repeated in a report. */
export const MAX_SHOWN = 2000;

/** A bad record of the given mistakes. */
export function badRecord(origin: Origin, problems: readonly Problem[], source: string): BadRecord {
  return { origin, problems, source: source.length > MAX_SHOWN ? `${source.slice(0, MAX_SHOWN)}…` : source };
}

/** A value as it is shown in a message. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
