import { PaliGemmaError } from "../errors.ts";
import { characterSet } from "./character-set.ts";
import { characters, choice, type Grammar, repeat, sequence, text } from "./grammar.ts";

/** Which numbers are meant. */
export interface NumberRange {
  /** Only whole numbers. */
  readonly integer?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

/** Whole numbers without bounds have at most 15 digits, so that every one is a double. */
const MOST_INTEGER = 999_999_999_999_999;

/** Decimals without bounds have at most 9 digits before the point and 6 after it: 15 in all, for the same reason. */
const MOST_DECIMAL = 999_999_999;
const DECIMALS = 6;

const digits = (from: number, to: number): Grammar => characters(characterSet([[0x30 + from, 0x30 + to]]));
const DIGIT = digits(0, 9);
const FRACTION = sequence(text("."), repeat(DIGIT, 1, DECIMALS));
const FRACTION_ABOVE_ZERO = sequence(
  text("."),
  choice(
    ...Array.from({ length: DECIMALS }, (_, zeros) =>
      sequence(repeat(text("0"), zeros, zeros), digits(1, 9), repeat(DIGIT, 0, DECIMALS - 1 - zeros)),
    ),
  ),
);

/** The JSON numbers of a range, without exponent and leading zeros. Bounds of decimals are whole numbers. */
export function numberGrammar(range: NumberRange): Grammar {
  const integer = range.integer === true;
  const most = integer ? MOST_INTEGER : MOST_DECIMAL;
  const bounds = [range.minimum, range.maximum, range.exclusiveMinimum, range.exclusiveMaximum].filter(
    (bound) => bound !== undefined,
  );
  const wrong = bounds.find((bound) => (integer ? !Number.isFinite(bound) : !Number.isSafeInteger(bound)));
  if (wrong !== undefined)
    throw new PaliGemmaError(
      "generation/constraint",
      `a bound of a number is ${wrong}; it is ${integer ? "finite" : "a whole number, or the number an integer"}`,
    );

  const lowest = lower(range.minimum, range.exclusiveMinimum, integer, -most);
  const highest = lower(negated(range.maximum), negated(range.exclusiveMaximum), integer, -most);
  const [low, high] = [lowest.value, -highest.value];
  const ways: Grammar[] = [];
  if (high >= 0)
    ways.push(...upwards(Math.max(low, 0), low >= 0 && lowest.exclusive, high, highest.exclusive, integer));
  // Minus zero is left out.
  if (low < 0) {
    const from = Math.max(-high, 0);
    const negative = upwards(from, from === 0 || highest.exclusive, -low, lowest.exclusive, integer);
    if (negative.length > 0) ways.push(sequence(text("-"), choice(...negative)));
  }
  if (ways.length === 0)
    throw new PaliGemmaError(
      "generation/constraint",
      `no number is in ${JSON.stringify(range)}; its lower bound is above its upper one`,
    );
  return choice(...ways);
}

/** The stricter of an inclusive and an exclusive lower bound; of integers always inclusive. */
function lower(
  inclusive: number | undefined,
  exclusive: number | undefined,
  integer: boolean,
  none: number,
): { readonly value: number; readonly exclusive: boolean } {
  const first = inclusive === undefined ? undefined : integer ? Math.ceil(inclusive) : inclusive;
  const second = exclusive === undefined ? undefined : integer ? Math.floor(exclusive) + 1 : exclusive;
  if (second !== undefined && (first === undefined || second >= first)) return { value: second, exclusive: !integer };
  return { value: first ?? none, exclusive: false };
}

function negated(value: number | undefined): number | undefined {
  return value === undefined ? undefined : -value;
}

/** Numbers from `low` to `high`, both at least 0, each bound exclusive or not; nothing when there are none. */
function upwards(
  low: number,
  withoutLow: boolean,
  high: number,
  withoutHigh: boolean,
  integer: boolean,
): readonly Grammar[] {
  const first = withoutLow ? low + 1 : low;
  const last = withoutHigh ? high - 1 : high;
  const ways: Grammar[] = first <= last ? [wholes(first, last)] : [];
  if (integer || low >= high) return ways;
  if (withoutLow) ways.push(sequence(text(String(low)), FRACTION_ABOVE_ZERO));
  if (first < high) ways.push(sequence(wholes(first, high - 1), FRACTION));
  return ways;
}

/** Whole numbers from `low` to `high`, in digits without leading zeros. */
function wholes(low: number, high: number): Grammar {
  const ways: Grammar[] = [];
  for (let length = String(low).length; length <= String(high).length; length++) {
    const least = length === 1 ? "0" : `1${"0".repeat(length - 1)}`;
    const from = String(low).length === length ? String(low) : least;
    const to = String(high).length === length ? String(high) : "9".repeat(length);
    ways.push(sameLength(from, to));
  }
  return choice(...ways);
}

function sameLength(low: string, high: string): Grammar {
  const rest = low.length - 1;
  if (/^0*$/.test(low) && /^9*$/.test(high)) return repeat(DIGIT, low.length, low.length);
  const [from, to] = [Number(low[0]), Number(high[0])];
  if (from === to) return sequence(digits(from, from), sameLength(low.slice(1), high.slice(1)));
  const ways = [
    sequence(digits(from, from), sameLength(low.slice(1), "9".repeat(rest))),
    sequence(digits(to, to), sameLength("0".repeat(rest), high.slice(1))),
  ];
  if (from + 1 < to) ways.push(sequence(digits(from + 1, to - 1), repeat(DIGIT, rest, rest)));
  return choice(...ways);
}
