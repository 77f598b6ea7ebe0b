/** A stable, machine-readable reason: `area/what`, such as `weights/shape` or `backend/unavailable`. */
export type ErrorCode = `${string}/${string}`;

/**
 * The one error class of the project. `code` is stable and may be matched on; the message is prose for people and says
 * what is wrong, both sides of the mismatch, and what to do.
 */
export class PaliGemmaError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(`${code}: ${message}`, options);
    this.name = "PaliGemmaError";
    this.code = code;
  }
}

/** True for a `PaliGemmaError`, also one from another copy of this package; with `code`, only for that one. */
export function isPaliGemmaError(error: unknown, code?: ErrorCode): error is PaliGemmaError {
  return (
    error instanceof Error &&
    error.name === "PaliGemmaError" &&
    "code" in error &&
    (code === undefined || error.code === code)
  );
}
