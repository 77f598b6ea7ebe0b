import type { Constraint } from "../constraint.ts";
import { PaliGemmaError } from "../errors.ts";
import { atomRange } from "./atoms.ts";
import { compile } from "./compile.ts";
import { characters, choice, type Grammar, tokenRange } from "./grammar.ts";
import { literal } from "./literal.ts";
import { type NumberRange, numberGrammar } from "./number-grammar.ts";
import { parseRegex } from "./regex-parser.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** The answer is exactly one of the given texts. */
export function oneOf(vocabulary: Vocabulary, answers: readonly string[]): Constraint {
  if (answers.length === 0)
    throw new PaliGemmaError("generation/constraint", "the list of answers is empty; give at least one");
  return compile(vocabulary, choice(...answers.map((answer) => literal(vocabulary, answer))));
}

/** The answer is "yes" or "no". */
export function yesNo(vocabulary: Vocabulary): Constraint {
  return oneOf(vocabulary, ["yes", "no"]);
}

/** The answer is a decimal number without leading zeros, up to 15 digits before and after the point. */
export function number(vocabulary: Vocabulary, range: NumberRange = {}): Constraint {
  return compile(vocabulary, numberGrammar(range));
}

/**
 * The answer as a whole matches an ECMAScript pattern (flags i and s). \p{loc} and \p{seg} stand for one location or
 * segmentation token. Look-around, back references and word boundaries are errors.
 */
export function regex(vocabulary: Vocabulary, pattern: RegExp | string): Constraint {
  const [source, flags] = typeof pattern === "string" ? [pattern, ""] : [pattern.source, pattern.flags];
  return compile(vocabulary, regexGrammar(vocabulary, source, flags));
}

function regexGrammar(vocabulary: Vocabulary, source: string, flags: string): Grammar {
  return parseRegex(source, flags, {
    characters,
    named: (name) => {
      const range = name === "loc" || name === "seg" ? atomRange(vocabulary, name) : undefined;
      return range === undefined ? undefined : tokenRange(...range);
    },
  });
}
