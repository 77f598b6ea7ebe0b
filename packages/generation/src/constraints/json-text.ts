import { ANY, type CharacterSet, characterSet, charactersOf, intersection, without } from "./character-set.ts";
import { characters, choice, type Grammar, list, optional, repeat, rule, sequence, text } from "./grammar.ts";
import { numberGrammar } from "./number-grammar.ts";

/** Characters that stand escaped in a JSON string. */
const ESCAPED: CharacterSet = characterSet([
  [0x00, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
]);
const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

const HEX = characters(charactersOf("0123456789abcdefABCDEF"));
/** \u and four digits that are no surrogate. */
const UNICODE_ESCAPE = sequence(
  text("\\u"),
  choice(
    sequence(characters(charactersOf("0123456789abcefABCEF")), HEX, HEX, HEX),
    sequence(characters(charactersOf("dD")), characters(charactersOf("01234567")), HEX, HEX),
  ),
);
const BASIC: CharacterSet = characterSet([[0, 0xffff]]);

/** One character of a set as it stands in a JSON string, in its shortest form. */
export function jsonCharacter(set: CharacterSet): Grammar {
  const escapes = intersection(set, ESCAPED).flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => {
      const character = String.fromCodePoint(first + i);
      return text(SHORT[character] ?? `\\u${(first + i).toString(16).padStart(4, "0")}`);
    }),
  );
  const plain = characters(without(set, ESCAPED));
  return escapes.length === 0 ? plain : choice(plain, ...escapes);
}

/**
 * A JSON string of `least` to `most` characters. A counted string has no characters beyond U+FFFF, which some count as one
 * and some as two.
 */
export function jsonString(least = 0, most: number = Infinity): Grammar {
  const counted = least > 0 || most !== Infinity;
  const escape = sequence(text("\\"), characters(charactersOf('"\\/bfnrt')));
  const one = choice(characters(without(counted ? BASIC : ANY, ESCAPED)), escape, UNICODE_ESCAPE);
  return sequence(text('"'), repeat(one, least, most), text('"'));
}

/** After a comma or colon: nothing or a space. */
const SPACE = optional(text(" "));

/** What separates members and items. */
export const COMMA: Grammar = sequence(text(","), SPACE);

/** A member of an object. */
export function member(key: Grammar, value: Grammar): Grammar {
  return sequence(key, text(":"), SPACE, value);
}

/** Any JSON value. */
export const ANY_VALUE: Grammar = rule(() =>
  choice(
    jsonString(),
    numberGrammar({}),
    text("true"),
    text("false"),
    text("null"),
    sequence(text("["), list(ANY_VALUE, COMMA, 0), text("]")),
    sequence(text("{"), list(member(jsonString(), ANY_VALUE), COMMA, 0), text("}")),
  ),
);
