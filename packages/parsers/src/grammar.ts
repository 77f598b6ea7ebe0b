import type { Piece, Span } from "./lexer.ts";
import { LOCS_PER_BOX, SEGS_PER_MASK, locToken, segToken } from "./markup.ts";

// output := object (break object)*        break: `;`, newline, `<eos>` and the like
// object := loc×4 [seg×16] [label]   or   label loc×4 [seg×16]

/** On which side of its box a label stands. `auto` decides per object list: before only where text opens it and a box ends it. */
export type LabelSide = "auto" | "before" | "after";

/** An object as it stands in the answer, still in bins. */
export interface RawObject {
  readonly bins: readonly number[];
  readonly codes: readonly number[] | undefined;
  readonly label: string;
  readonly span: Span;
}

/** What the grammar made of an answer. The spans of `objects` and of `rest` cover the input together. */
export interface Reading {
  readonly objects: readonly RawObject[];
  readonly rest: readonly (Span & { readonly text: string })[];
  readonly truncated: boolean;
}

type Draft = { readonly index: number; bins: number[]; codes: number[] | undefined; label: string; labelled: boolean };
type Element =
  | { readonly kind: "text"; readonly at: number }
  | { readonly kind: "run"; readonly drafts: readonly Draft[] };

const UNOWNED = -1;

/**
 * Reads any sequence of pieces; linear in its length, never throws. With `masksOnly`, objects without a mask are left to
 * the rest.
 */
export function readObjects(pieces: readonly Piece[], side: LabelSide, masksOnly = false): Reading {
  const drafts: Draft[] = [];
  const owner = new Int32Array(pieces.length).fill(UNOWNED);
  const lastSolid = pieces.findLastIndex((piece) => !isBlank(piece));
  let open = false;

  for (let at = 0; at < pieces.length;) {
    const elements: Element[] = [];
    for (; at < pieces.length && pieces[at]!.kind !== "break";) {
      if (pieces[at]!.kind === "text") {
        if (!isBlank(pieces[at]!)) elements.push({ kind: "text", at });
        at++;
        continue;
      }
      const run = readRun(pieces, at, owner, drafts, lastSolid);
      elements.push({ kind: "run", drafts: run.drafts });
      open ||= run.open;
      at = run.end;
    }
    assignLabels(elements, pieces, owner, side);
    at++;
  }
  const endsInBox = masksOnly && pieces[lastSolid]?.kind === "loc";
  const truncated = open || endsInBox || lacksLastLabel(pieces, owner, drafts, lastSolid);
  return account(pieces, owner, masksOnly ? keepMasks(owner, drafts) : drafts, truncated);
}

/** The drafts with a mask; pieces of the others lose their owner. */
function keepMasks(owner: Int32Array, drafts: readonly Draft[]): readonly Draft[] {
  const kept = drafts.filter((draft) => draft.codes !== undefined);
  const renumbered = new Int32Array(drafts.length).fill(UNOWNED);
  for (const [now, draft] of kept.entries()) renumbered[draft.index] = now;
  for (let at = 0; at < owner.length; at++) if (owner[at] !== UNOWNED) owner[at] = renumbered[owner[at]!]!;
  return kept;
}

/** Reads consecutive markup pieces (blanks between them allowed) from `from`; complete objects are added to `drafts`. */
function readRun(
  pieces: readonly Piece[],
  from: number,
  owner: Int32Array,
  drafts: Draft[],
  lastSolid: number,
): { drafts: Draft[]; open: boolean; end: number } {
  const found: Draft[] = [];
  let open = false;
  let at = from;
  const take = (kind: Piece["kind"]): number[] => {
    const taken: number[] = [];
    for (; at < pieces.length && (pieces[at]!.kind === kind || isBlank(pieces[at]!)); at++) {
      if (pieces[at]!.kind === kind) taken.push(at);
    }
    return taken;
  };
  while (at < pieces.length && pieces[at]!.kind !== "break" && (pieces[at]!.kind !== "text" || isBlank(pieces[at]!))) {
    const locs = take("loc");
    const segs = take("seg");
    const spare = locs.length % LOCS_PER_BOX;
    const last = Math.max(locs.at(-1) ?? 0, segs.at(-1) ?? 0) === lastSolid;
    const cutShort =
      last && (segs.length === 0 ? spare > 0 : spare === 0 && locs.length > 0 && segs.length < SEGS_PER_MASK);
    open ||= cutShort;
    // A mask cut off at the very end takes its box with it: that object is not complete.
    const boxes = Math.floor(locs.length / LOCS_PER_BOX) - (cutShort && segs.length > 0 ? 1 : 0);
    for (let box = 0; box < boxes; box++) {
      const mine = locs.slice(box * LOCS_PER_BOX, (box + 1) * LOCS_PER_BOX);
      const withMask = box === boxes - 1 && spare === 0 && segs.length >= SEGS_PER_MASK;
      const codes = withMask ? segs.slice(0, SEGS_PER_MASK) : undefined;
      for (const index of [...mine, ...(codes ?? [])]) owner[index] = drafts.length;
      const draft: Draft = {
        index: drafts.length,
        bins: mine.map((i) => pieces[i]!.value),
        codes: codes?.map((i) => pieces[i]!.value),
        label: "",
        labelled: false,
      };
      drafts.push(draft);
      found.push(draft);
    }
  }
  return { drafts: found, open, end: at };
}

function assignLabels(
  elements: readonly Element[],
  pieces: readonly Piece[],
  owner: Int32Array,
  side: LabelSide,
): void {
  const before =
    side === "before" || (side === "auto" && elements[0]?.kind === "text" && elements.at(-1)?.kind === "run");
  for (const [i, element] of elements.entries()) {
    if (element.kind !== "text") continue;
    const neighbour = elements[before ? i + 1 : i - 1];
    const draft = neighbour?.kind === "run" ? neighbour.drafts.at(before ? 0 : -1) : undefined;
    if (draft === undefined) continue;
    draft.label = pieces[element.at]!.text.trim();
    draft.labelled = true;
    owner[element.at] = draft.index;
  }
}

/** True where the answer ends right after a box although the boxes before it were followed by labels. */
function lacksLastLabel(
  pieces: readonly Piece[],
  owner: Int32Array,
  drafts: readonly Draft[],
  lastSolid: number,
): boolean {
  const last = lastSolid >= 0 ? pieces[lastSolid]! : undefined;
  if (last?.kind !== "loc" && last?.kind !== "seg") return false;
  const draft = drafts[owner[lastSolid]!];
  return draft !== undefined && !draft.labelled && drafts.some((other) => other.labelled);
}

/** Turns ownership of pieces into spans: separators go to the objects beside them, everything else unowned is rest. */
function account(pieces: readonly Piece[], owner: Int32Array, drafts: readonly Draft[], truncated: boolean): Reading {
  const spans = drafts.map(() => ({ start: Number.POSITIVE_INFINITY, end: 0 }));
  const widen = (item: number, piece: Piece): void => {
    const span = spans[item]!;
    span.start = Math.min(span.start, piece.start);
    span.end = Math.max(span.end, piece.end);
  };
  const rest: (Span & { text: string })[] = [];
  for (let at = 0; at < pieces.length;) {
    if (owner[at] !== UNOWNED) {
      widen(owner[at]!, pieces[at]!);
      at++;
      continue;
    }
    let end = at;
    while (end < pieces.length && owner[end] === UNOWNED) end++;
    let [first, last] = [at, end];
    if (at > 0) for (; first < last && isSeparator(pieces[first]!); first++) widen(owner[at - 1]!, pieces[first]!);
    if (end < pieces.length)
      for (; last > first && isSeparator(pieces[last - 1]!); last--) widen(owner[end]!, pieces[last - 1]!);
    if (first < last) {
      const text = pieces.slice(first, last).map(source).join("");
      rest.push({ start: pieces[first]!.start, end: pieces[last - 1]!.end, text });
    }
    at = end;
  }
  const objects = drafts.map(({ bins, codes, label }, i) => ({ bins, codes, label, span: spans[i]! }));
  return { objects, rest, truncated };
}

function isBlank(piece: Piece): boolean {
  // An undecoded run of ids has no text and is not blank.
  return piece.kind === "text" && piece.text !== "" && piece.text.trim() === "";
}

function isSeparator(piece: Piece): boolean {
  return piece.kind === "break" || isBlank(piece);
}

function source(piece: Piece): string {
  if (piece.kind === "loc") return locToken(piece.value);
  return piece.kind === "seg" ? segToken(piece.value) : piece.text;
}
