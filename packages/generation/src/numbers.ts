/** log Σ exp(scores) over ids `from` to below `to`, summed in double precision. −Infinity when nothing is left. */
export function logSumExp(scores: Float32Array, from = 0, to: number = scores.length): number {
  let most = -Infinity;
  for (let i = from; i < to; i++) if (scores[i]! > most) most = scores[i]!;
  if (most === -Infinity || most === Infinity) return most;
  let sum = 0;
  for (let i = from; i < to; i++) sum += Math.exp(scores[i]! - most);
  return most + Math.log(sum);
}

/** The id of the highest score, the lowest of equals; −1 when nothing is left, −2 when a score is not a number. */
export function argmax(scores: Float32Array): number {
  let best = -1;
  let most = -Infinity;
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    if (score > most) {
      most = score;
      best = i;
    } else if (score !== score) return -2;
  }
  return best;
}

/** The ids of the `count` highest scores, best first, the lowest id first among equals. −Infinity may be among them. */
export function topIndices(scores: Float32Array, count: number): Uint32Array {
  const k = Math.min(count, scores.length);
  const heap = new Uint32Array(k);
  // In the heap a parent is worse than its children: lower score, or the higher id of equals.
  const worse = (a: number, b: number): boolean => {
    const [left, right] = [scores[a]!, scores[b]!];
    return left < right || (left === right && a > b);
  };
  const sink = (from: number, size: number): void => {
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) return;
      if (child + 1 < size && worse(heap[child + 1]!, heap[child]!)) child++;
      if (!worse(heap[child]!, heap[at]!)) return;
      [heap[at], heap[child]] = [heap[child]!, heap[at]!];
      at = child;
    }
  };
  for (let i = 0; i < k; i++) heap[i] = i;
  for (let i = (k >> 1) - 1; i >= 0; i--) sink(i, k);
  for (let i = k; i < scores.length; i++) {
    if (!(scores[i]! > scores[heap[0]!]!)) continue;
    heap[0] = i;
    sink(0, k);
  }
  for (let size = k - 1; size > 0; size--) {
    [heap[0], heap[size]] = [heap[size]!, heap[0]!];
    sink(0, size);
  }
  return heap;
}

/** The `count`-th highest score (the lowest one if there are fewer). */
export function kthHighest(scores: Float32Array, count: number): number {
  const top = topIndices(scores, count);
  return scores[top[top.length - 1]!]!;
}

/** Shannon entropy in nats of softmax(scores). */
export function entropy(scores: Float32Array): number {
  const total = logSumExp(scores);
  let sum = 0;
  for (let i = 0; i < scores.length; i++) {
    const log = scores[i]! - total;
    if (log !== -Infinity) sum -= Math.exp(log) * log;
  }
  return sum;
}

/** Replaces scores by log softmax(scores). */
export function logSoftmax(scores: Float32Array): void {
  const total = logSumExp(scores);
  for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! - total;
}
