/**
 * Misuse of this package: an impossible option, or a detection that the answer format cannot write. The same shape as
 * the other packages' error (`name`, `code`), so `isPaliGemmaError` of `@paligemma/core` recognises it. Parsing text
 * never throws, whatever the text.
 */
export class PaliGemmaError extends Error {
  readonly code: `parsers/${string}`;

  constructor(code: `parsers/${string}`, message: string) {
    super(`${code}: ${message}`);
    this.name = "PaliGemmaError";
    this.code = code;
  }
}

/** Throws `parsers/option` for the first key of `options` that is not in `known`. */
export function refuseUnknownOptions(options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw new PaliGemmaError("parsers/option", `there is no option "${unknown}"; known: ${known.join(", ")}`);
  }
}
