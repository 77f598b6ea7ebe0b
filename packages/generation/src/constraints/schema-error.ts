import { PaliGemmaError } from "../errors.ts";

/** The error that a part of a schema, named by its path, cannot be kept. */
export function wrong(path: string, what: string): PaliGemmaError {
  return new PaliGemmaError("generation/schema", `${path} ${what}`);
}
