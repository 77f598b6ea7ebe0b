import { PaliGemmaError } from "./errors.ts";
import type { LogitsSource } from "./source.ts";

/**
 * Lets a source take in several tokens per row, in one run where it can: to continue a conversation, or to prefill. `runs`
 * is [rows][length], of one length.
 */
export async function feedTokens(source: LogitsSource, runs: readonly (readonly number[])[]): Promise<void> {
  const length = runs[0]?.length ?? 0;
  if (runs.some((run) => run.length !== length)) {
    throw new PaliGemmaError(
      "generation/option",
      `the rows are fed ${runs.map((run) => run.length).join(", ")} tokens; all must have one length`,
    );
  }
  if (length > 1 && source.advanceMany !== undefined) await source.advanceMany(runs, "last");
  else for (let i = 0; i < length; i++) await source.advance(runs.map((run) => run[i]!));
}
