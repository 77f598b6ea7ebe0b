/** The nearest of `candidates` to `word` by edit distance, if one is near enough to be meant. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= least) continue;
    const distance = editDistance(word, candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

/** Keys of `options` that are not in `known`, with the nearest known name for each. */
export function unknownKeys(
  options: object,
  known: readonly string[],
): readonly { readonly key: string; readonly meant: string | undefined }[] {
  return Object.keys(options)
    .filter((key) => !known.includes(key))
    .map((key) => ({ key, meant: nearest(key, known) }));
}
