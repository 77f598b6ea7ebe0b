/**
 * Misuse of this package: an impossible option, or examples that cannot be scored. The same shape as the other packages'
 * error (`name`, `code`), so `isPaliGemmaError` of `@paligemma/core` recognises it.
 */
export class PaliGemmaError extends Error {
  readonly code: `metrics/${string}`;

  constructor(code: `metrics/${string}`, message: string) {
    super(`${code}: ${message}`);
    this.name = "PaliGemmaError";
    this.code = code;
  }
}

/** Throws `metrics/option` for the first key of `options` that is not in `known`. */
export function refuseUnknownOptions(options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw new PaliGemmaError("metrics/option", `there is no option "${unknown}"; known: ${known.join(", ")}`);
  }
}
