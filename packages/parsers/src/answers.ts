import { PaliGemmaError } from "./errors.ts";
import { parsed, type Parsed } from "./reading.ts";

/** A number as an answer gives it. */
export interface ParsedNumber extends Parsed<number> {
  /** True where a percent sign follows: 12 % has the value 12. */
  readonly percent: boolean;
}

const WORDS = [
  "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
  "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]; // prettier-ignore

const NUMBER = new RegExp(
  // Thousands are commas before exactly three digits; a leading point is a number too.
  String.raw`(?<![\p{L}\p{N}])(?:([-+\u2212]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+\u2212]?\.\d+)(\s*%)?|(${WORDS.join("|")})(?!\p{L}))`,
  "iu",
);

/** The first number of an answer, in digits (`1,234.5`, `-3`, `12 %`, `1e3`) or in words from zero to twenty. */
export function parseNumber(text: string): ParsedNumber {
  const match = NUMBER.exec(text);
  if (match === null) return { ...parsed<number>(text, undefined, []), percent: false };
  const [whole, digits, sign, word] = match;
  const value =
    digits === undefined
      ? WORDS.indexOf(word!.toLowerCase())
      : Number(digits.replaceAll(",", "").replace("\u2212", "-"));
  return {
    ...parsed(text, value, [{ start: match.index, end: match.index + whole.length }]),
    percent: sign !== undefined,
  };
}

/** The number in digits, as `parseNumber` reads it back. Throws `parsers/number` for NaN and infinities. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) throw new PaliGemmaError("parsers/number", `${value} cannot be written in an answer`);
  return String(value);
}

/** Whether an answer begins with yes or no, in any case; what follows is rest. */
export function parseYesNo(text: string): Parsed<boolean> {
  const match = /^[\s"'(]*(yes|no)(?![\p{L}\p{N}])[\s"')]*[.,!;:]?/iu.exec(text);
  if (match === null) return parsed<boolean>(text, undefined, []);
  return parsed(text, match[1]!.toLowerCase() === "yes", [{ start: 0, end: match[0].length }]);
}

/** `yes` or `no`. */
export function formatYesNo(value: boolean): string {
  return value ? "yes" : "no";
}
