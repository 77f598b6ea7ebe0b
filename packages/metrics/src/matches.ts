import { PaliGemmaError, refuseUnknownOptions } from "./errors.ts";
import { toFloat } from "./python-text.ts";

/** How texts are compared. */
export interface MatchOptions {
  /** Compare in lower case. Default false; ChartQA, DocVQA, OCR-VQA and RSVQA are scored with true. */
  readonly lowerCase?: boolean;
}

/**
 * ChartQA's relaxed match: numbers may be off by 5 % of the target, a trailing percent sign divides by 100; everything
 * else, and a target of 0, must be equal. Source: https://arxiv.org/abs/2203.10244, end of section 5.1.
 */
export function relaxedMatch(
  prediction: string,
  target: string,
  options: MatchOptions & { readonly tolerance?: number } = {},
): boolean {
  refuseUnknownOptions(options, ["lowerCase", "tolerance"]);
  const [said, wanted] = [fold(prediction, options), fold(target, options)];
  const [number, goal] = [chartNumber(said), chartNumber(wanted)];
  if (number === undefined || goal === undefined || goal === 0) return said === wanted;
  return Math.abs(number - goal) / Math.abs(goal) <= (options.tolerance ?? 0.05);
}

/** Agreement with accepted answers without any normalisation. */
export interface SimpleAccuracy {
  /** A third per answer that is equal, at most 1; with a single accepted answer 1 or 0. */
  readonly accuracy: number;
  /** 1 where any answer is equal, else 0. */
  readonly any: number;
}

/**
 * The score of OKVQA, A-OKVQA, OCR-VQA, GQA, AI2D and others as PaliGemma's authors compute them: equality, no VQA
 * normalisation. Throws `metrics/answers` for no answers.
 */
export function simpleVqaAccuracy(
  prediction: string,
  answers: readonly string[],
  options: MatchOptions = {},
): SimpleAccuracy {
  refuseUnknownOptions(options, ["lowerCase"]);
  if (answers.length === 0) throw new PaliGemmaError("metrics/answers", "no answers to compare with");
  const said = fold(prediction, options);
  const equal = answers.filter((answer) => fold(answer, options) === said).length;
  const accuracy = answers.length === 1 ? equal : Math.min(1, equal / 3);
  return { accuracy, any: Math.min(1, equal) };
}

const COUNTS = [
  "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
  "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]; // prettier-ignore

/** TallyQA's and CountBench's match: number words from none to twenty are digits, then equality. */
export function countMatch(prediction: string, target: string): boolean {
  return countText(prediction) === countText(target);
}

/** Means of scores, all together and by group, such as VQA's answer types. Throws `metrics/empty` for no scores. */
export function meanByGroup(scores: readonly { readonly score: number; readonly group?: string }[]): {
  readonly mean: number;
  readonly groups: ReadonlyMap<string, { readonly mean: number; readonly count: number }>;
} {
  if (scores.length === 0) throw new PaliGemmaError("metrics/empty", "no scores to take the mean of");
  const sums = new Map<string, { sum: number; count: number }>();
  for (const { score, group } of scores) {
    if (group === undefined) continue;
    const { sum, count } = sums.get(group) ?? { sum: 0, count: 0 };
    sums.set(group, { sum: sum + score, count: count + 1 });
  }
  const mean = scores.reduce((total, { score }) => total + score, 0) / scores.length;
  return { mean, groups: new Map([...sums].map(([group, { sum, count }]) => [group, { mean: sum / count, count }])) };
}

function fold(text: string, { lowerCase = false }: MatchOptions): string {
  return lowerCase ? text.toLowerCase() : text;
}

function chartNumber(text: string): number | undefined {
  if (!text.endsWith("%")) return toFloat(text);
  const number = toFloat(text.replace(/%+$/, ""));
  return number === undefined ? undefined : number / 100;
}

function countText(text: string): string {
  const word = text.toLowerCase();
  const number = word === "none" ? 0 : COUNTS.indexOf(word);
  return number < 0 ? text : String(number);
}
