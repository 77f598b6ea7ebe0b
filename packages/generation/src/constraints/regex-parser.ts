import { PaliGemmaError } from "../errors.ts";
import { ANY, type CharacterSet, characterSet, charactersOf, complement, SPACE, union } from "./character-set.ts";
import { choice, type Grammar, repeat, sequence } from "./grammar.ts";

/** The largest count in {n,m}: a repetition is written out. */
const MAX_COUNT = 1000;

/** How deep groups may nest. */
const MAX_GROUPS = 100;

const DIGITS = characterSet([[0x30, 0x39]]);
const WORD = characterSet([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]);
const LINE_ENDS = charactersOf("\n\r\u2028\u2029");
const CLASSES: Readonly<Record<string, CharacterSet>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const CONTROLS: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", f: "\f", v: "\v", 0: "\0" };

/** What the parts of a pattern become. */
export interface RegexParts {
  /** One character of a set. */
  readonly characters: (set: CharacterSet) => Grammar;
  /** The token class \p{name}, if there is one. */
  readonly named?: (name: string) => Grammar | undefined;
}

/**
 * The texts that match an ECMAScript pattern as a whole; `anchored: false` means as JSON Schema does, anywhere in the text
 * unless ^ and $ stand at its ends. Look-around, back references, word boundaries and lazy matching beyond syntax are not
 * regular or not about the text, and are errors.
 */
export function parseRegex(pattern: string, flags: string, parts: RegexParts, anchored = true): Grammar {
  const characters = Array.from(pattern);
  const ignoreCase = flags.includes("i");
  const dot = flags.includes("s") ? ANY : complement(LINE_ENDS);
  let at = 0;
  let depth = 0;

  const fail = (what: string): PaliGemmaError =>
    new PaliGemmaError(
      "generation/pattern",
      `/${pattern}/ has ${what} at position ${at}; patterns have literals, classes, groups, |, *, +, ?, {n,m}, and ^ and $ at their ends`,
    );
  const eat = (wanted: string): boolean => {
    if (characters[at] !== wanted) return false;
    at++;
    return true;
  };
  const leaf = (set: CharacterSet): Grammar => parts.characters(ignoreCase ? bothCases(set) : set);

  const anywhere = repeat(parts.characters(ANY), 0);

  const alternatives = (top: boolean): Grammar => {
    const all = [branch(top)];
    while (eat("|")) all.push(branch(top));
    return all.length === 1 ? all[0]! : choice(...all);
  };
  const branch = (top: boolean): Grammar => {
    const items: Grammar[] = [];
    const begins = top && eat("^");
    if (top && !begins && !anchored) items.push(anywhere);
    let ended = false;
    while (at < characters.length && characters[at] !== "|" && characters[at] !== ")") {
      if (top && characters[at] === "$" && (at + 1 === characters.length || characters[at + 1] === "|")) {
        at++;
        ended = true;
        break;
      }
      items.push(quantified(atom()));
    }
    if (top && !ended && !anchored) items.push(anywhere);
    return sequence(...items);
  };
  const quantified = (part: Grammar): Grammar => {
    const counts = quantifier();
    if (counts === undefined) return part;
    // Lazy or greedy, the same texts match.
    eat("?");
    if (quantifier() !== undefined) throw fail("a second quantifier");
    return repeat(part, ...counts);
  };
  const quantifier = (): readonly [number, number] | undefined => {
    if (eat("*")) return [0, Infinity];
    if (eat("+")) return [1, Infinity];
    if (eat("?")) return [0, 1];
    const counts = /^\{(\d+)(,(\d*))?\}/.exec(characters.slice(at, at + 16).join(""));
    if (counts === null) return undefined;
    const least = Number(counts[1]);
    const most = counts[2] === undefined ? least : counts[3] === "" ? Infinity : Number(counts[3]);
    if (least > most || least > MAX_COUNT || (most !== Infinity && most > MAX_COUNT))
      throw fail(`the count ${counts[0]} (from 0 to ${MAX_COUNT})`);
    at += counts[0].length;
    return [least, most];
  };
  const atom = (): Grammar => {
    const character = characters[at++]!;
    if (character === "(") return group();
    if (character === "[") return leaf(classOf());
    if (character === ".") return leaf(dot);
    if (character === "\\") return escaped();
    if ("*+?{^$".includes(character)) {
      at--;
      throw fail(`"${character}" where a character is due`);
    }
    return leaf(charactersOf(character));
  };
  const group = (): Grammar => {
    if (++depth > MAX_GROUPS) throw fail(`more than ${MAX_GROUPS} nested groups`);
    if (eat("?")) {
      const named = /^<[A-Za-z_$][\w$]*>/.exec(characters.slice(at, at + 64).join(""));
      if (named !== null) at += named[0].length;
      else if (!eat(":")) throw fail("a look-around or unknown group");
    }
    const inner = alternatives(false);
    if (!eat(")")) throw fail("a group without its end");
    depth--;
    return inner;
  };
  const escaped = (): Grammar => {
    if (characters[at] === "p") {
      const name = /^p\{(\w+)\}/.exec(characters.slice(at, at + 64).join(""))?.[1];
      const part = name === undefined ? undefined : parts.named?.(name);
      if (part === undefined)
        throw fail(
          `the class \\p${name === undefined ? "" : `{${name}}`} (there are \\p{loc} and \\p{seg}, if the vocabulary has them)`,
        );
      at += name!.length + 3;
      return part;
    }
    return leaf(escapedSet());
  };
  const escapedSet = (): CharacterSet => {
    const character = characters[at++];
    if (character === undefined) throw fail("a \\ at its end");
    if (Object.hasOwn(CLASSES, character)) return CLASSES[character]!;
    if (Object.hasOwn(CONTROLS, character)) return charactersOf(CONTROLS[character]!);
    const code = /^(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|u\{([\da-fA-F]{1,6})\})/.exec(
      characters.slice(at - 1, at + 10).join(""),
    );
    if (code !== null) {
      at += code[0].length - 1;
      const value = Number.parseInt(code[1] ?? code[2] ?? code[3]!, 16);
      return characterSet([[value, value]]);
    }
    if (/[\dA-Za-z]/.test(character)) throw fail(`\\${character}`);
    return charactersOf(character);
  };
  const classOf = (): CharacterSet => {
    const negated = eat("^");
    const sets: CharacterSet[] = [];
    for (;;) {
      if (at >= characters.length) throw fail("a [ without its ]");
      if (eat("]")) break;
      const first = member();
      const from = only(first);
      // After a class such as \w, as before the end, a hyphen is itself.
      if (from !== undefined && characters[at] === "-" && characters[at + 1] !== "]" && at + 1 < characters.length) {
        at++;
        const to = only(member());
        if (to === undefined || from > to) throw fail("a range out of order");
        sets.push(characterSet([[from, to]]));
      } else sets.push(first);
    }
    const all = ignoreCase ? bothCases(union(...sets)) : union(...sets);
    return negated ? complement(all) : all;
  };
  const member = (): CharacterSet => {
    const character = characters[at++]!;
    if (character !== "\\") return charactersOf(character);
    if (eat("b")) return charactersOf("\b");
    return eat("-") ? charactersOf("-") : escapedSet();
  };

  const unknown = Array.from(flags).filter((flag) => !"isuvgd".includes(flag));
  if (unknown.length > 0)
    throw new PaliGemmaError(
      "generation/pattern",
      `/${pattern}/${flags} has the flag ${unknown.join("")}; i and s are understood`,
    );
  const result = alternatives(true);
  if (at < characters.length) throw fail(`an unmatched "${characters[at]}"`);
  return result;
}

function only(set: CharacterSet): number | undefined {
  return set.length === 1 && set[0]![0] === set[0]![1] ? set[0]![0] : undefined;
}

/** A set with the other case of its ASCII letters. */
function bothCases(set: CharacterSet): CharacterSet {
  const letters = (from: number, to: number, shift: number): [number, number][] =>
    set.flatMap(([first, last]) =>
      Math.max(first, from) <= Math.min(last, to) ? [[Math.max(first, from) + shift, Math.min(last, to) + shift]] : [],
    );
  return characterSet([...set, ...letters(0x41, 0x5a, 32), ...letters(0x61, 0x7a, -32)]);
}
