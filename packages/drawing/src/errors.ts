/**
 * Misuse of this package, or a picture it cannot read. The same shape as the other packages' error (`name`, `code`), so
 * `isPaliGemmaError` of `@paligemma/core` recognises it.
 */
export class PaliGemmaError extends Error {
  readonly code: `drawing/${string}`;

  constructor(code: `drawing/${string}`, message: string, options?: { readonly cause?: unknown }) {
    super(`${code}: ${message}`, options);
    this.name = "PaliGemmaError";
    this.code = code;
  }
}

/** Throws `drawing/option` for the first key of `options` that is not in `known`. */
export function refuseUnknownOptions(options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw new PaliGemmaError("drawing/option", `there is no option "${unknown}"; known: ${known.join(", ")}`);
  }
}
