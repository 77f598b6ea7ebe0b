import type { CharacterSet } from "./character-set.ts";

/** What a text may be. Made by the functions below; `compile` turns it into a constraint. */
export type Grammar =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "tokens"; readonly ids: readonly number[] }
  | { readonly kind: "token-range"; readonly first: number; readonly last: number }
  | { readonly kind: "characters"; readonly set: CharacterSet }
  | { readonly kind: "sequence"; readonly parts: readonly Grammar[] }
  | { readonly kind: "choice"; readonly of: readonly Grammar[] }
  | { readonly kind: "repeat"; readonly part: Grammar; readonly least: number; readonly most: number }
  | Rule;

/** A part with a name of its own, which may contain itself. */
export interface Rule {
  readonly kind: "rule";
  readonly define: () => Grammar;
}

/** Exactly this text, in any split into tokens. */
export function text(exactly: string): Grammar {
  return { kind: "text", text: exactly };
}

/** Exactly these tokens. */
export function tokens(ids: readonly number[]): Grammar {
  return { kind: "tokens", ids };
}

/** One token with an id from `first` to `last`. */
export function tokenRange(first: number, last: number): Grammar {
  return { kind: "token-range", first, last };
}

/** One character of a set. */
export function characters(set: CharacterSet): Grammar {
  return { kind: "characters", set };
}

/** One part after the other. */
export function sequence(...parts: readonly Grammar[]): Grammar {
  return { kind: "sequence", parts };
}

/** Any one of the parts. */
export function choice(...of: readonly Grammar[]): Grammar {
  return { kind: "choice", of };
}

/** A part `least` to `most` times. */
export function repeat(part: Grammar, least: number, most: number = Infinity): Grammar {
  return { kind: "repeat", part, least, most };
}

/** A part or nothing. */
export function optional(part: Grammar): Grammar {
  return repeat(part, 0, 1);
}

/** A part that may contain itself: `define` is called once, when the grammar is compiled. */
export function rule(define: () => Grammar): Rule {
  return { kind: "rule", define };
}

/** A part, then any number of times a separator and the part again; `least` to `most` parts in all. */
export function list(part: Grammar, separator: Grammar, least: number, most: number = Infinity): Grammar {
  const some = sequence(part, repeat(sequence(separator, part), Math.max(0, least - 1), most - 1));
  return least === 0 ? optional(some) : some;
}
