import { entropy, logSumExp } from "./numbers.ts";

/** What `generate` recorded of one answer with `outputScores` and `outputDistributions: { from: loc0, to: loc0 + 1024 }`. */
export interface RecordedAnswer {
  readonly tokens: readonly number[];
  /** Log-probability of each token under the model's own scores. */
  readonly tokenScores: readonly number[];
  /** Per token, the log-probabilities of all location tokens. */
  readonly distributions: readonly Float32Array[];
}

/** Which tokens are which. */
export interface DetectionTokens {
  /** Id of `<loc0000>`. */
  readonly loc0: number;
  /** Id of `<seg000>`, where answers have masks. */
  readonly seg0?: number;
  /** Tokens that are no part of a label: those of " ; ", and the end of the sequence. */
  readonly separators: readonly number[];
}

/**
 * What the model's own probabilities say about one object. These are no calibrated detection scores: PaliGemma was trained
 * to write all objects in one sequence, so the numbers say how sure it was of each token given what it had written before.
 */
export interface DetectionConfidence {
  /** Position of the first location token in the answer. */
  readonly index: number;
  /** Probability of the label's tokens, multiplied; 1 without a label. Before constraint and transforms, as all here. */
  readonly label: number;
  /** Probability that the first coordinate's place in the text is a location at all: that there is an object. */
  readonly object: number;
  /** Probability of each coordinate [ymin, xmin, ymax, xmax] among the 1024 locations. */
  readonly coordinates: readonly number[];
  /** Entropy of each coordinate's distribution over the 1024 locations, in nats: 0 when sure, 6.93 when it is any of them. */
  readonly entropies: readonly number[];
}

/** How many location tokens there are. */
const LOCATIONS = 1024;
const MASKS = 128;

/** The confidence of each whole object (four locations in a row) of a recorded answer, in order. */
export function detectionConfidences(answer: RecordedAnswer, ids: DetectionTokens): readonly DetectionConfidence[] {
  const { tokens, tokenScores, distributions } = answer;
  const isLocation = (token: number | undefined): boolean =>
    token !== undefined && token >= ids.loc0 && token < ids.loc0 + LOCATIONS;
  const isMask = (token: number): boolean => ids.seg0 !== undefined && token >= ids.seg0 && token < ids.seg0 + MASKS;
  const objects: DetectionConfidence[] = [];
  for (let index = 0; index < tokens.length; index++) {
    if (![0, 1, 2, 3].every((i) => isLocation(tokens[index + i]))) continue;
    const places = distributions.slice(index, index + 4);
    let end = index + 4;
    let label = 0;
    for (; end < tokens.length && !isLocation(tokens[end]); end++) {
      if (!isMask(tokens[end]!) && !ids.separators.includes(tokens[end]!)) label += tokenScores[end]!;
    }
    objects.push({
      index,
      label: Math.exp(label),
      object: Math.exp(logSumExp(places[0]!)),
      coordinates: places.map((place, i) => Math.exp(tokenScores[index + i]! - logSumExp(place))),
      entropies: places.map(entropy),
    });
    index = end - 1;
  }
  return objects;
}
