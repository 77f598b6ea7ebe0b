// The official evaluations are Python programs. What Python calls a space differs a little from JavaScript's \s.
const SPACE = String.raw`[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]`;
const ENDS = new RegExp(`^${SPACE}+|${SPACE}+$`, "g");
const GAPS = new RegExp(`${SPACE}+`);

/** Python's `text.strip()`. */
export function strip(text: string): string {
  return text.replaceAll(ENDS, "");
}

/** Python's `text.split()`. */
export function splitWords(text: string): string[] {
  const stripped = strip(text);
  return stripped === "" ? [] : stripped.split(GAPS);
}

const NUMBER = /^[+-]?(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:[eE][+-]?\d+(?:_\d+)*)?$/;
const SPECIAL = /^([+-]?)(inf|infinity|nan)$/i;

/** Python's `float(text)`, `undefined` where that throws. Digits of other scripts, which Python reads, are not numbers here. */
export function toFloat(text: string): number | undefined {
  const stripped = strip(text);
  if (NUMBER.test(stripped)) return Number(stripped.replaceAll("_", ""));
  const special = SPECIAL.exec(stripped);
  if (special === null) return undefined;
  if (special[2]!.toLowerCase() === "nan") return Number.NaN;
  return special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}
