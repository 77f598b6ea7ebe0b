import type { CharacterSet } from "./character-set.ts";

/** One range of values per byte. */
export type ByteRanges = readonly (readonly [number, number])[];

/** The last code points that take one, two, three and four bytes. */
const LAST_OF_LENGTH = [0x7f, 0x7ff, 0xffff, 0x10ffff];

/** The UTF-8 forms of a character set: any of the results, each a range per byte, is one of its characters. */
export function utf8Ranges(set: CharacterSet): readonly ByteRanges[] {
  return set.flatMap(([first, last]) => {
    const result: ByteRanges[] = [];
    let from = first;
    LAST_OF_LENGTH.forEach((end, i) => {
      if (from > last || from > end) return;
      const to = Math.min(last, end);
      result.push(...split(encode(from, i + 1), encode(to, i + 1)));
      from = to + 1;
    });
    return result;
  });
}

/** Ranges per byte that together are all byte strings from `low` to `high`, which are equally long. */
function split(low: readonly number[], high: readonly number[]): readonly ByteRanges[] {
  const [a, b] = [low[0]!, high[0]!];
  if (low.length === 1) return [[[a, b]]];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (a === b) return split(lowRest, highRest).map((rest) => [[a, a], ...rest]);

  const least = lowRest.map(() => 0x80);
  const most = lowRest.map(() => 0xbf);
  const wholeLow = lowRest.every((byte) => byte === 0x80);
  const wholeHigh = highRest.every((byte) => byte === 0xbf);
  const from = wholeLow ? a : a + 1;
  const to = wholeHigh ? b : b - 1;
  return [
    ...(wholeLow ? [] : split(lowRest, most).map((rest) => [[a, a] as const, ...rest])),
    ...(from <= to ? [[[from, to] as const, ...least.map(() => [0x80, 0xbf] as const)]] : []),
    ...(wholeHigh ? [] : split(least, highRest).map((rest) => [[b, b] as const, ...rest])),
  ];
}

function encode(code: number, length: number): readonly number[] {
  if (length === 1) return [code];
  const lead = [0, 0, 0xc0, 0xe0, 0xf0][length]!;
  const bytes = [lead | (code >> (6 * (length - 1)))];
  for (let i = length - 2; i >= 0; i--) bytes.push(0x80 | ((code >> (6 * i)) & 0x3f));
  return bytes;
}
