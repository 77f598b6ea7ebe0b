import { PaliGemmaError } from "./errors.ts";
import { splitWords } from "./python-text.ts";

/** A caption and what people wrote for the same image, each as words with spaces between: see `captionWords`. */
export interface CaptionExample {
  readonly prediction: string;
  readonly references: readonly string[];
}

/** CIDEr-D of captions: 10 is as good as it gets. Published numbers are a hundred times these. */
export interface CiderScores {
  /** Mean over the images. */
  readonly mean: number;
  /** One per image. */
  readonly scores: readonly number[];
}

const LONGEST = 4; // n-grams of one to four words
const SIGMA = 6;

/**
 * CIDEr-D, as `pycocoevalcap` computes it. Rarity of words comes from the references of exactly these images: the score of
 * a subset cannot be compared with that of the whole. Texts must be tokenised the same way on both sides: `captionWords` does
 * it nearly as the Stanford PTB tokeniser, which published numbers use, in lower case and without punctuation. Throws `metrics/references` for no images or
 * an image without references. Source: https://arxiv.org/abs/1411.5726.
 */
export function cider(examples: readonly CaptionExample[]): CiderScores {
  const bare = examples.findIndex(({ references }) => references.length === 0);
  if (examples.length === 0 || bare >= 0) {
    const what = examples.length === 0 ? "no images" : `image ${bare} has no references`;
    throw new PaliGemmaError("metrics/references", `${what}; CIDEr compares each caption with at least one`);
  }
  const references = examples.map((example) => example.references.map(countNgrams));
  const frequency = new Map<string, number>();
  for (const counts of references) {
    for (const ngram of new Set(counts.flatMap((one) => [...one.keys()])))
      frequency.set(ngram, (frequency.get(ngram) ?? 0) + 1);
  }
  const images = Math.log(examples.length);
  const rarity = (ngram: string): number => images - Math.log(Math.max(1, frequency.get(ngram) ?? 0));
  const scores = examples.map(({ prediction }, image) => {
    const said = weigh(countNgrams(prediction), rarity);
    const sums = Array.from({ length: LONGEST }, () => 0);
    for (const counts of references[image]!)
      similarities(said, weigh(counts, rarity)).forEach((value, n) => (sums[n]! += value));
    return (sums.reduce((a, b) => a + b, 0) / LONGEST / references[image]!.length) * 10;
  });
  return { mean: scores.reduce((a, b) => a + b, 0) / scores.length, scores };
}

interface Weighed {
  /** By length of the n-gram less one: weights by n-gram. */
  readonly weights: readonly ReadonlyMap<string, number>[];
  readonly norms: readonly number[];
  /** Pairs of words, which the official code takes for the length. */
  readonly length: number;
}

/** How often each n-gram stands in a text; its words are joined by spaces. */
function countNgrams(text: string): Map<string, number> {
  const words = splitWords(text);
  const counts = new Map<string, number>();
  for (let n = 1; n <= LONGEST; n++) {
    for (let i = 0; i + n <= words.length; i++) {
      const ngram = words.slice(i, i + n).join(" ");
      counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
    }
  }
  return counts;
}

function weigh(counts: ReadonlyMap<string, number>, rarity: (ngram: string) => number): Weighed {
  const weights = Array.from({ length: LONGEST }, () => new Map<string, number>());
  const squares = Array.from({ length: LONGEST }, () => 0);
  let length = 0;
  for (const [ngram, count] of counts) {
    const n = ngram.split(" ").length - 1;
    const weight = count * rarity(ngram);
    weights[n]!.set(ngram, weight);
    squares[n]! += weight ** 2;
    if (n === 1) length += count;
  }
  return { weights, norms: squares.map(Math.sqrt), length };
}

function similarities(said: Weighed, reference: Weighed): number[] {
  const penalty = Math.exp(-((said.length - reference.length) ** 2) / (2 * SIGMA ** 2));
  return said.weights.map((weights, n) => {
    let product = 0;
    for (const [ngram, weight] of weights) {
      const other = reference.weights[n]!.get(ngram) ?? 0;
      // Clipped: saying a word more often than the reference gains nothing.
      product += Math.min(weight, other) * other;
    }
    const norm = said.norms[n]! * reference.norms[n]!;
    return (norm === 0 ? product : product / norm) * penalty;
  });
}
