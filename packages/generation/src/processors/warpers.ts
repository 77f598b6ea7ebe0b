import { entropy, kthHighest, logSumExp, topIndices } from "../numbers.ts";
import type { LogitsProcessor } from "../options.ts";

/** How many tokens `topH` looks at; the number of the method's first implementation. */
const TOP_H_TOKENS = 100;

/** Divides the scores. */
export function temperature(by: number): LogitsProcessor {
  return (scores) => {
    for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! / by;
  };
}

/** Keeps the best of 100 tokens while their entropy terms sum to at most `share` of the entropy. */
export function topH(share: number): LogitsProcessor {
  return (scores) => {
    const top = topIndices(scores, TOP_H_TOKENS);
    const best = Float32Array.from(top, (token) => scores[token]!);
    const total = logSumExp(best);
    const limit = entropy(best) * share;
    let sum = 0;
    let count = 0;
    for (const score of best) {
      const log = score - total;
      if (log !== -Infinity) sum -= Math.exp(log) * log;
      if (count > 0 && sum > limit) break;
      count++;
    }
    scores.fill(-Infinity);
    for (let i = 0; i < count; i++) scores[top[i]!] = best[i]!;
  };
}

/** Keeps the k best, and what equals the k-th. */
export function topK(k: number, keep = 1): LogitsProcessor {
  return (scores) => {
    const least = kthHighest(scores, Math.max(k, keep));
    for (let i = 0; i < scores.length; i++) if (scores[i]! < least) scores[i] = -Infinity;
  };
}

/** Removes the worst tokens that together reach at most 1 − p, but never the `keep` best. */
export function topP(p: number, keep = 1): LogitsProcessor {
  return (scores) => {
    const total = logSumExp(scores);
    const sorted = scores.slice().sort();
    let sum = 0;
    let removed = 0;
    for (; removed < sorted.length - keep; removed++) {
      sum += Math.exp(sorted[removed]! - total);
      if (sum > 1 - p) break;
    }
    // Of equal scores at the border the lower ids go.
    const least = sorted[removed]!;
    let equals = removed - sorted.indexOf(least);
    for (let i = 0; i < scores.length; i++) {
      if (scores[i]! < least || (scores[i] === least && equals-- > 0)) scores[i] = -Infinity;
    }
  };
}

/** Removes what is less likely than p times the likeliest, but never the `keep` best. */
export function minP(p: number, keep = 1): LogitsProcessor {
  return (scores) => {
    const kept = topIndices(scores, keep);
    const values = Array.from(kept, (token) => scores[token]!);
    const least = values[0]! + Math.log(p);
    for (let i = 0; i < scores.length; i++) if (scores[i]! < least) scores[i] = -Infinity;
    kept.forEach((token, i) => (scores[token] = values[i]!));
  };
}

/** Keeps the tokens whose information is nearest the entropy until they reach `mass`, and at least `keep`. */
export function typicalP(mass: number, keep = 1): LogitsProcessor {
  return (scores) => {
    const total = logSumExp(scores);
    const mean = entropy(scores);
    const distance = Float32Array.from(scores, (score) => Math.abs(total - score - mean));
    const order = Uint32Array.from(scores.keys()).filter((token) => scores[token]! > -Infinity);
    order.sort((a, b) => distance[a]! - distance[b]! || a - b);
    let sum = 0;
    let last = 0;
    while (last < order.length - 1) {
      sum += Math.exp(scores[order[last]!]! - total);
      if (sum >= mass) break;
      last++;
    }
    const most = distance[order[last]!]!;
    for (let i = keep; i < order.length; i++) if (distance[order[i]!]! > most) scores[order[i]!] = -Infinity;
  };
}

/** Removes what is less likely than epsilon, but never the `keep` best. */
export function epsilonCutoff(epsilon: number, keep = 1): LogitsProcessor {
  return (scores) => dropBelow(scores, epsilon, keep);
}

/** Removes what is less likely than min(ε, √ε · exp(−entropy)), but never the `keep` best. */
export function etaCutoff(epsilon: number, keep = 1): LogitsProcessor {
  return (scores) => dropBelow(scores, Math.min(epsilon, Math.sqrt(epsilon) * Math.exp(-entropy(scores))), keep);
}

function dropBelow(scores: Float32Array, probability: number, keep: number): void {
  const least = Math.min(logSumExp(scores) + Math.log(probability), kthHighest(scores, keep));
  for (let i = 0; i < scores.length; i++) if (scores[i]! < least) scores[i] = -Infinity;
}
