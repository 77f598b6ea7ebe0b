import { checkLogits, rowOf } from "./check-source.ts";
import { PaliGemmaError } from "./errors.ts";
import type { BoundPlan } from "./plan.ts";
import { answerLength, type Row } from "./row.ts";
import type { Logits, LogitsSource } from "./source.ts";

/** So many positions are scored in one run at most: a position's logits are 1 MB with Gemma's vocabulary. */
const MAX_SCORED_RUN = 32;

/** What one run took in: for each live row its tokens, and the logits after any position whose next token is unknown. */
export interface Fed {
  readonly runs: readonly (readonly number[])[];
  logits(row: Row, position: number): Float32Array;
  /** The tokens that they are of, ascending; undefined: all. */
  readonly tokens: Int32Array | undefined;
}

/** Feeds chosen tokens (and drafts of the next) to a source, and keeps count of what it has taken in. */
export interface Feed {
  /** Tokens of each answer that the source has taken in. */
  readonly taken: number;
  /** Runs of the model so far. */
  readonly runs: number;
  /** True when wrong drafts can be taken back. */
  readonly canGuess: boolean;
  /** With `tokens`, of a source that has `logitsOf`, nothing but these may follow after what is known of any row. */
  step(live: readonly Row[], drafts: readonly (readonly number[])[], tokens?: Int32Array): Promise<Fed>;
  /** Takes back what was fed after the first `count` tokens of the last step. */
  keep(count: number): Promise<void>;
}

/** A feed of `rows`, which begin in the slots of their requests. */
export function createFeed(source: LogitsSource, rows: readonly Row[], plan: BoundPlan): Feed {
  let taken = 0;
  let runs = 0;
  let slots = plan.requests;
  let fed = 0;

  /** The rows that go on and the slots they come from, when the source's rows change before the next token. */
  const moved = (live: readonly Row[]): readonly Row[] | undefined => {
    const kept = source.dropsFinishedRows === true ? live : rows;
    return (taken === 0 && plan.returned > 1) || kept.length < slots ? kept : undefined;
  };

  const one = async (kept: readonly Row[] | undefined, tokenOf: (row: Row) => number): Promise<void> => {
    if (kept === undefined) {
      const tokens = Array.from({ length: slots }, () => plan.pad);
      for (const row of rows) if (row.stopped === undefined) tokens[row.slot] = tokenOf(row);
      return source.advance(tokens);
    }
    const tokens = kept.map((row) => (row.stopped === undefined ? tokenOf(row) : plan.pad));
    const parents = kept.map((row) => row.slot);
    await source.advance(tokens, parents);
    kept.forEach((row, slot) => (row.slot = slot));
    slots = kept.length;
  };

  return {
    get taken(): number {
      return taken;
    },
    get runs(): number {
      return runs;
    },
    canGuess: source.advanceMany !== undefined && source.rollback !== undefined,

    async step(live, drafts, tokens) {
      const kept = moved(live);
      const known = live.map((row) => answerLength(row) - taken);
      const full = live.map((row, i) => [...row.view.ids.slice(row.view.promptLength + taken), ...drafts[i]!]);
      let length =
        kept !== undefined || source.advanceMany === undefined ? 1 : Math.min(...full.map((run) => run.length));
      const every = length > 1 && known.some((count) => count < length);
      if (every) length = Math.min(length, MAX_SCORED_RUN);
      // After a guess something else may follow.
      const some = every ? undefined : tokens;
      let logits: Logits | undefined;
      const runOf = new Map(live.map((row, i) => [row, full[i]!.slice(0, length)]));
      if (length === 1) {
        await one(kept, (row) => runOf.get(row)![0]!);
        if (known.includes(1)) {
          const scores = some ? await source.logitsOf!(some) : await source.logits();
          logits = checkRows(checkLogits(scores), slots);
        }
      } else {
        const padding = Array.from({ length }, () => plan.pad);
        const bySlot = Array.from({ length: slots }, (): readonly number[] => padding);
        for (const [row, run] of runOf) bySlot[row.slot] = run;
        logits = checkRows(
          checkLogits(await source.advanceMany!(bySlot, every ? "every" : "last", some)),
          every ? slots * length : slots,
        );
      }
      if (some && logits && logits.vocabulary !== some.length) throw otherTokens(logits.vocabulary, some.length);
      runs++;
      taken += length;
      fed = length;
      return {
        runs: live.map((row) => runOf.get(row)!),
        logits: (row, position) => rowOf(logits!, every ? row.slot * length + position : row.slot),
        tokens: some,
      };
    },

    async keep(count) {
      if (count === fed) return;
      await source.rollback!(fed - count);
      taken -= fed - count;
      fed = count;
    },
  };
}

function otherTokens(given: number, due: number): PaliGemmaError {
  return new PaliGemmaError(
    "generation/source",
    `the source gave scores of ${given} tokens where those of ${due} were asked for; logitsOf gives one for each token it is given`,
  );
}

function checkRows(logits: Logits, rows: number): Logits {
  if (logits.rows === rows) return logits;
  throw new PaliGemmaError(
    "generation/source",
    `the source gave ${logits.rows} rows of scores where ${rows} were due; advance gives as many rows as it is given tokens`,
  );
}
