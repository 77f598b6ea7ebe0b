/** A stable, machine-readable reason: `generation/what`. */
export type GenerationErrorCode = `generation/${string}`;

/**
 * The error of this package: `code` is stable and may be matched on; the message is prose and says what is wrong, both
 * sides of the mismatch, and what to do. It has the shape and the name of `@paligemma/core`'s error, which this package
 * does not import.
 */
export class PaliGemmaError extends Error {
  readonly code: GenerationErrorCode;

  constructor(code: GenerationErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(`${code}: ${message}`, options);
    this.name = "PaliGemmaError";
    this.code = code;
  }
}
