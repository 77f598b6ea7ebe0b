import type { Constraint } from "./constraint.ts";
import type { GenerateOptions } from "./options.ts";

/** How many tokens are guessed, how long a match may be, and what counts as equal. */
export interface LookupPlan {
  readonly tokens: number;
  readonly longest: number;
  readonly keyOf: (token: number) => number;
}

/** Options with every default filled, checked on their own; what needs the number of rows is checked by `bindPlan`. */
export interface Plan {
  readonly options: GenerateOptions;
  readonly maxNewTokens: number | undefined;
  readonly maxLength: number | undefined;
  readonly eos: readonly number[];
  readonly pad: number;
  readonly beams: number;
  readonly returned: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: boolean | "never";
  readonly stopStrings: readonly string[];
  readonly lookup: LookupPlan | undefined;
  readonly scores: boolean;
  readonly clock: () => number;
}

/** A plan for a known number of requests. */
export interface BoundPlan extends Plan {
  readonly requests: number;
  readonly prompts: readonly (readonly number[])[];
  readonly prefixes: readonly (readonly number[])[];
  readonly constraints: readonly (Constraint | undefined)[];
  readonly seeds: readonly number[];
  /** New tokens at most, per request. */
  readonly limits: readonly number[];
}

/** How many new tokens there are when nothing is said: Hugging Face's default. */
export const DEFAULT_NEW_TOKENS = 20;

/** How long the newest run of tokens is that prompt lookup searches for, when nothing is said: Hugging Face's default. */
export const DEFAULT_MATCHING = 2;

export function planOf(options: GenerateOptions): Plan {
  const eos = options.eosTokenId;
  const stop = options.stopStrings;
  const lookup = options.promptLookupNumTokens;
  return {
    options,
    maxNewTokens: options.maxNewTokens ?? (options.maxLength === undefined ? DEFAULT_NEW_TOKENS : undefined),
    maxLength: options.maxLength,
    eos: eos === undefined ? [] : typeof eos === "number" ? [eos] : [...new Set(eos)],
    pad: options.padTokenId ?? 0,
    beams: options.numBeams ?? 1,
    returned: options.numReturnSequences ?? 1,
    lengthPenalty: options.lengthPenalty ?? 1,
    earlyStopping: options.earlyStopping ?? false,
    stopStrings: stop === undefined ? [] : typeof stop === "string" ? [stop] : stop,
    lookup:
      lookup === undefined
        ? undefined
        : {
            tokens: lookup,
            longest: options.maxMatchingNgramSize ?? DEFAULT_MATCHING,
            keyOf: options.promptLookupKey ?? ((token): number => token),
          },
    scores: options.outputScores === true || options.outputDistributions !== undefined,
    clock: options.clock ?? ((): number => performance.now()),
  };
}
