/** Characters as ascending, disjoint ranges of code points [first, last]; no surrogates. */
export type CharacterSet = readonly (readonly [number, number])[];

const LAST = 0x10ffff;

/** All characters. */
export const ANY: CharacterSet = [
  [0, 0xd7ff],
  [0xe000, LAST],
];

/** The characters of any ranges: sorted, joined, without surrogates. */
export function characterSet(ranges: readonly (readonly [number, number])[]): CharacterSet {
  const joined: [number, number][] = [];
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const previous = joined[joined.length - 1];
    if (previous !== undefined && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else joined.push([first, last]);
  }
  return joined.flatMap(([first, last]) =>
    ANY.flatMap(([from, to]) =>
      Math.max(first, from) <= Math.min(last, to) ? [[Math.max(first, from), Math.min(last, to)] as const] : [],
    ),
  );
}

/** The characters of a string. */
export function charactersOf(text: string): CharacterSet {
  return characterSet(Array.from(text, (character) => [character.codePointAt(0)!, character.codePointAt(0)!] as const));
}

/** Every character that is not in the set. */
export function complement(set: CharacterSet): CharacterSet {
  const gaps: [number, number][] = [];
  let from = 0;
  for (const [first, last] of set) {
    if (first > from) gaps.push([from, first - 1]);
    from = last + 1;
  }
  if (from <= LAST) gaps.push([from, LAST]);
  return characterSet(gaps);
}

/** The characters in both sets. */
export function intersection(a: CharacterSet, b: CharacterSet): CharacterSet {
  return complement(union(complement(a), complement(b)));
}

/** The characters in either set. */
export function union(...sets: readonly CharacterSet[]): CharacterSet {
  return characterSet(sets.flat());
}

/** The characters of the first set that are not in the second. */
export function without(a: CharacterSet, b: CharacterSet): CharacterSet {
  return intersection(a, complement(b));
}

/** ECMAScript's white space and line ends. */
export const SPACE: CharacterSet = characterSet([
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]);
