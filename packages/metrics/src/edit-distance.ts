import { PaliGemmaError, refuseUnknownOptions } from "./errors.ts";

/** Insertions, deletions and replacements of characters (code points) that turn one text into the other. */
export function editDistance(a: string, b: string): number {
  const [left, right] = [Array.from(a), Array.from(b)];
  let row = Array.from({ length: right.length + 1 }, (_, j) => j);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const change = row[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, change));
    }
    row = next;
  }
  return row[right.length]!;
}

/** Edit distance divided by the length of the longer text, 0 (equal) to 1; 0 for two empty texts. */
export function normalisedEditDistance(a: string, b: string): number {
  const longer = Math.max(Array.from(a).length, Array.from(b).length);
  return longer === 0 ? 0 : editDistance(a, b) / longer;
}

/** How ANLS is computed. */
export interface AnlsOptions {
  /** Normalised edit distance from which an answer counts nothing. Default 0.5. */
  readonly threshold?: number;
  /** Compare in lower case, as DocVQA, InfoVQA and ST-VQA are scored. Default true. */
  readonly lowerCase?: boolean;
}

/**
 * Average normalised Levenshtein similarity of one prediction: the best over the accepted answers of 1 − distance, 0 from
 * the threshold on. An empty answer is met by an empty prediction only. Source: https://arxiv.org/abs/1907.00490.
 * Throws `metrics/answers` for no answers.
 */
export function anls(prediction: string, answers: readonly string[], options: AnlsOptions = {}): number {
  refuseUnknownOptions(options, ["threshold", "lowerCase"]);
  if (answers.length === 0) throw new PaliGemmaError("metrics/answers", "no answers to compare with");
  const { threshold = 0.5, lowerCase = true } = options;
  const fold = (text: string): string => (lowerCase ? text.toLowerCase() : text);
  const said = fold(prediction);
  return answers.map(fold).reduce((best, answer) => Math.max(best, similarity(answer, said, threshold)), 0);
}

function similarity(answer: string, said: string, threshold: number): number {
  if (answer === "") return said === "" ? 1 : 0;
  const distance = normalisedEditDistance(answer, said);
  return distance < threshold ? 1 - distance : 0;
}
