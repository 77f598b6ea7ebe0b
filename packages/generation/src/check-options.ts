import { PaliGemmaError } from "./errors.ts";
import type { GenerateOptions } from "./options.ts";
import { nearest } from "./nearest.ts";

type Options = { readonly [key: string]: unknown };
type Rule = readonly [allowed: string, test: (value: unknown) => boolean];

const isInteger = (from: number): Rule => [
  `an integer ≥ ${from}`,
  (value) => Number.isSafeInteger(value) && (value as number) >= from,
];
const within = (allowed: string, test: (value: number) => boolean): Rule => [
  allowed,
  (value) => typeof value === "number" && Number.isFinite(value) && test(value),
];
const BOOLEAN: Rule = ["true or false", (value) => typeof value === "boolean"];
const FUNCTION: Rule = ["a function", (value) => typeof value === "function"];
const isId = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isIds = (value: unknown): boolean => Array.isArray(value) && value.every(isId);
const isSome = (value: unknown): boolean => Array.isArray(value) && value.length > 0;
const ID_OR_IDS: Rule = [
  "a token id or a list of at least one",
  (value) => isId(value) || (isSome(value) && isIds(value)),
];
const IDS: Rule = ["a list of token ids", isIds];
const isText = (value: unknown): boolean => typeof value === "string" && value.length > 0;
const isObject = (value: unknown): value is Options => typeof value === "object" && value !== null;
const isConstraint = (value: unknown): boolean =>
  isObject(value) && typeof value["allowed"] === "function" && typeof value["next"] === "function";

/** Every option, what it may be, and how to tell. */
const RULES: { readonly [Key in keyof GenerateOptions]-?: Rule } = {
  maxNewTokens: isInteger(1),
  maxLength: isInteger(1),
  minNewTokens: isInteger(0),
  minLength: isInteger(0),
  eosTokenId: ID_OR_IDS,
  padTokenId: ["a token id", isId],
  stopStrings: [
    "a string or a list of strings, none empty",
    (v) => isText(v) || (isSome(v) && (v as unknown[]).every(isText)),
  ],
  decode: FUNCTION,
  maxTime: within("a number of seconds > 0", (v) => v > 0),
  stoppingCriteria: ["a list of functions", (v) => Array.isArray(v) && v.every((f) => typeof f === "function")],
  signal: ["an AbortSignal", (v) => isObject(v) && typeof v["aborted"] === "boolean"],
  promptIds: ["a list of lists of token ids", (v) => isSome(v) && (v as unknown[]).every(isIds)],
  responsePrefix: [
    "a list of token ids, or one such list per request",
    (v) => isIds(v) || (isSome(v) && (v as unknown[]).every(isIds)),
  ],
  sequenceBias: [
    "a list of [at least one token id, a number] pairs",
    (v) =>
      isSome(v) &&
      (v as unknown[]).every(
        (p) => Array.isArray(p) && isSome(p[0]) && isIds(p[0]) && typeof p[1] === "number" && !Number.isNaN(p[1]),
      ),
  ],
  repetitionPenalty: within("a number > 0", (v) => v > 0),
  noRepeatNgramSize: isInteger(0),
  badWordsIds: [
    "a list of lists of at least one token id",
    (v) => isSome(v) && (v as unknown[]).every((w) => isSome(w) && isIds(w)),
  ],
  prefixAllowedTokensFn: FUNCTION,
  forcedEosTokenId: ID_OR_IDS,
  removeInvalidValues: BOOLEAN,
  exponentialDecayLengthPenalty: [
    "[an integer ≥ 0, a number > 0]",
    (v) =>
      Array.isArray(v) &&
      v.length === 2 &&
      isInteger(0)[1](v[0]) &&
      typeof v[1] === "number" &&
      v[1] > 0 &&
      Number.isFinite(v[1]),
  ],
  suppressTokens: IDS,
  beginSuppressTokens: IDS,
  logitsProcessor: ["a list of functions", (v) => Array.isArray(v) && v.every((f) => typeof f === "function")],
  constraint: [
    "a constraint, or a list with one (or undefined) per request",
    (v) => isConstraint(v) || (isSome(v) && (v as unknown[]).every((c) => c === undefined || isConstraint(c))),
  ],
  doSample: BOOLEAN,
  temperature: within("a number > 0; for the best token each time, leave it out and set doSample: false", (v) => v > 0),
  topH: within("a number > 0 and ≤ 1", (v) => v > 0 && v <= 1),
  topK: isInteger(0),
  topP: within("a number from 0 to 1", (v) => v >= 0 && v <= 1),
  minP: within("a number from 0 to 1", (v) => v >= 0 && v <= 1),
  typicalP: within("a number > 0 and ≤ 1", (v) => v > 0 && v <= 1),
  epsilonCutoff: within("a number ≥ 0 and < 1", (v) => v >= 0 && v < 1),
  etaCutoff: within("a number ≥ 0 and < 1", (v) => v >= 0 && v < 1),
  renormalizeLogits: BOOLEAN,
  seed: ["a safe integer ≥ 0, or one per request", (v) => isId(v) || (isSome(v) && isIds(v))],
  numReturnSequences: isInteger(1),
  numBeams: isInteger(1),
  lengthPenalty: within("a finite number", () => true),
  earlyStopping: ['true, false or "never"', (v) => typeof v === "boolean" || v === "never"],
  promptLookupNumTokens: isInteger(1),
  maxMatchingNgramSize: isInteger(1),
  promptLookupKey: FUNCTION,
  outputScores: BOOLEAN,
  outputDistributions: [
    "{ from, to } with 0 ≤ from < to",
    (v) => isObject(v) && isId(v["from"]) && isId(v["to"]) && (v["from"] as number) < (v["to"] as number),
  ],
  clock: FUNCTION,
};

/** The names of all options of `generate` and `stream`. */
export const OPTION_NAMES: readonly (keyof GenerateOptions)[] = Object.keys(RULES) as (keyof GenerateOptions)[];

/** Values that mean "as if not given", and so are never without effect. */
export const NEUTRAL: Options = {
  temperature: 1,
  topP: 1,
  typicalP: 1,
  minP: 0,
  epsilonCutoff: 0,
  etaCutoff: 0,
  topK: 0,
  earlyStopping: false,
  lengthPenalty: 1,
  minNewTokens: 0,
  minLength: 0,
  noRepeatNgramSize: 0,
  repetitionPenalty: 1,
  doSample: false,
  removeInvalidValues: false,
  renormalizeLogits: false,
  outputScores: false,
  numBeams: 1,
  numReturnSequences: 1,
};

const SAMPLING = [
  "temperature",
  "topH",
  "topK",
  "topP",
  "minP",
  "typicalP",
  "epsilonCutoff",
  "etaCutoff",
  "seed",
] as const;

/** All that is wrong with the options, each in one sentence; empty when they are good. */
export function optionProblems(options: GenerateOptions, streaming: boolean): readonly string[] {
  const given = options as Options;
  const problems: string[] = [];
  for (const [key, value] of Object.entries(given)) {
    const rule = (RULES as { readonly [key: string]: Rule | undefined })[key];
    if (rule === undefined || !Object.hasOwn(RULES, key)) {
      const meant = nearest(key, OPTION_NAMES);
      problems.push(`${key} is not an option${meant === undefined ? "" : `; did you mean ${meant}?`}`);
    } else if (value !== undefined && !rule[1](value)) problems.push(`${key} is ${show(value)}, allowed is ${rule[0]}`);
  }
  if (problems.length > 0) return problems;

  const has = (key: keyof GenerateOptions): boolean => given[key] !== undefined && given[key] !== NEUTRAL[key];
  const needs = (key: keyof GenerateOptions, met: boolean, remedy: string): void => {
    if (has(key) && !met) problems.push(`${key} has no effect ${remedy}`);
  };
  const beams = (options.numBeams ?? 1) > 1;
  const prompt = options.promptIds !== undefined;
  for (const key of SAMPLING) needs(key, options.doSample === true, "without doSample: true");
  for (const key of ["lengthPenalty", "earlyStopping"] as const) needs(key, beams, "without numBeams > 1");
  for (const key of ["minNewTokens", "minLength", "exponentialDecayLengthPenalty"] as const) {
    needs(key, options.eosTokenId !== undefined, "without eosTokenId");
  }
  for (const key of ["maxMatchingNgramSize", "promptLookupKey"] as const) {
    needs(key, has("promptLookupNumTokens"), "without promptLookupNumTokens");
  }
  needs("stopStrings", options.decode !== undefined, "without decode, which gives the text of the tokens");
  const asksPrompt = (
    ["maxLength", "minLength", "repetitionPenalty", "noRepeatNgramSize", "promptLookupNumTokens"] as const
  ).filter(has);
  if (someLonger(options.badWordsIds))
    problems.push(...(prompt ? [] : ["badWordsIds of several tokens also look at the prompt: pass promptIds"]));
  if (someLonger(options.sequenceBias?.map(([ids]) => ids)) && !prompt)
    problems.push("sequenceBias of several tokens also looks at the prompt: pass promptIds");
  if (!prompt)
    for (const key of asksPrompt)
      problems.push(`${key} looks at the prompt: pass promptIds, an empty list per row if there is none`);
  if (options.constraint !== undefined && options.eosTokenId === undefined) {
    problems.push("constraint is given without eosTokenId, by which an answer says that it is complete");
  }
  contradictions(options, streaming, beams, problems);
  return problems;
}

function contradictions(options: GenerateOptions, streaming: boolean, beams: boolean, problems: string[]): void {
  const { maxNewTokens, maxLength, minNewTokens, minLength, numReturnSequences = 1, numBeams = 1 } = options;
  if (maxNewTokens !== undefined && maxLength !== undefined)
    problems.push("maxNewTokens and maxLength are given, only one may be");
  if ((minNewTokens ?? 0) > (maxNewTokens ?? Infinity))
    problems.push(`minNewTokens is ${minNewTokens}, more than maxNewTokens ${maxNewTokens}`);
  if ((minLength ?? 0) > (maxLength ?? Infinity))
    problems.push(`minLength is ${minLength}, more than maxLength ${maxLength}`);
  if (numReturnSequences > 1 && options.doSample !== true && !beams) {
    problems.push(
      `numReturnSequences is ${numReturnSequences}, but greedy decoding has one answer; set doSample: true or numBeams: ${numReturnSequences}`,
    );
  }
  if (beams && numReturnSequences > numBeams)
    problems.push(`numReturnSequences is ${numReturnSequences}, more than numBeams ${numBeams}`);
  if (streaming && beams)
    problems.push(
      `numBeams is ${numBeams}, but beams cannot be streamed: no token is certain before the last; use generate`,
    );
  if (options.promptLookupNumTokens !== undefined && (beams || options.doSample === true)) {
    problems.push("promptLookupNumTokens works with greedy decoding only; leave out doSample and numBeams");
  }
  if (beams && options.outputDistributions !== undefined)
    problems.push("outputDistributions are not recorded with beams; leave out numBeams");
}

/** Throws one error that names everything that is wrong with the options. */
export function checkOptions(options: GenerateOptions, streaming: boolean): void {
  const problems = optionProblems(options, streaming);
  if (problems.length > 0) throw new PaliGemmaError("generation/option", problems.join(". "));
}

function someLonger(words: readonly (readonly number[])[] | undefined): boolean {
  return words?.some((word) => word.length > 1) === true;
}

function show(value: unknown): string {
  if (typeof value === "function") return "a function";
  const text = typeof value === "string" || (typeof value === "object" && value !== null) ? json(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

function json(value: string | object): string {
  try {
    return JSON.stringify(value);
  } catch {
    return "an object";
  }
}
