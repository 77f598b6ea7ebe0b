import { score, type LogitsSource, type ScoredAnswer } from "@paligemma/generation";
import type { Tokenizer } from "@paligemma/processor";

/** How to rank answers. */
export interface ScoreAnswersOptions {
  /** Rank by the sum of the tokens' log-probabilities (default), or by their mean, which long answers lose less by. */
  readonly by?: "sum" | "mean";
  readonly signal?: AbortSignal;
}

/** One of the answers that were given, and how likely it is. */
export interface RankedAnswer extends Omit<ScoredAnswer, "answer"> {
  readonly text: string;
  /** Its number in the list that was given. */
  readonly index: number;
}

/** The answers as tokens, ended by `eosTokenId`, ranked after what the source has taken in. */
export async function scoreAnswers(
  source: LogitsSource,
  answers: readonly string[],
  tokenizer: Tokenizer,
  eosTokenId: number,
  options: ScoreAnswersOptions,
): Promise<readonly RankedAnswer[]> {
  const ids = answers.map((answer) => tokenizer.encode(answer));
  const [ranked] = await score(source, ids, { ...options, eosTokenId });
  return ranked!.map(({ answer: index, ...rest }) => ({ text: answers[index]!, index, ...rest }));
}
