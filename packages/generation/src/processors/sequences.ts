import type { LogitsProcessor, RowView } from "../options.ts";

/** Adds a bias to the last token of each sequence wherever the tokens before it are the newest of the row. */
export function sequenceBias(biases: readonly (readonly [readonly number[], number])[]): LogitsProcessor {
  return (scores, view) => {
    // Two sequences with one last token add up before they are added, in single precision.
    const sums = new Map<number, number>();
    for (const [sequence, bias] of biases) {
      const last = sequence[sequence.length - 1]!;
      if (endsWith(view.ids, sequence, sequence.length - 1)) sums.set(last, Math.fround((sums.get(last) ?? 0) + bias));
    }
    for (const [token, bias] of sums) scores[token] = scores[token]! + bias;
  };
}

/** Removes what would complete a bad word. A word that is only an end-of-sequence token is passed over. */
export function badWords(words: readonly (readonly number[])[], eos: readonly number[]): LogitsProcessor {
  const kept = words.filter((word) => !(word.length === 1 && eos.includes(word[0]!)));
  return sequenceBias(kept.map((word) => [word, -Infinity]));
}

/** Removes every token that would complete an n-gram that is already in the row. */
export function noRepeatNgram(size: number): LogitsProcessor {
  return (scores, { ids }) => {
    const prefix = size - 1;
    if (ids.length < prefix) return;
    for (let end = prefix; end < ids.length; end++) {
      let same = true;
      for (let i = 0; i < prefix && same; i++) same = ids[end - prefix + i] === ids[ids.length - prefix + i];
      if (same && ids[end]! < scores.length) scores[ids[end]!] = -Infinity;
    }
  };
}

/** Divides the scores ≥ 0 and multiplies those < 0 of every token that is in the row, after its first `ignore` ids. */
export function repetitionPenalty(penalty: number, ignore = 0): LogitsProcessor {
  return (scores, { ids }) => {
    for (const token of new Set(ignore > 0 ? ids.slice(ignore) : ids)) {
      if (token >= scores.length) continue;
      const score = scores[token]!;
      scores[token] = score < 0 ? score * penalty : score / penalty;
    }
  };
}

/** Removes tokens. */
export function suppress(tokens: readonly number[]): LogitsProcessor {
  return (scores) => {
    for (const token of tokens) if (token < scores.length) scores[token] = -Infinity;
  };
}

/** Removes tokens from the first position of the answer. */
export function beginSuppress(tokens: readonly number[]): LogitsProcessor {
  const remove = suppress(tokens);
  return (scores, view) => {
    if (newTokens(view) === 0) remove(scores, view);
  };
}

/** How many tokens of the row are new. */
export function newTokens(view: RowView): number {
  return view.ids.length - view.promptLength;
}

function endsWith(ids: readonly number[], sequence: readonly number[], length: number): boolean {
  if (length > ids.length) return false;
  for (let i = 0; i < length; i++) if (ids[ids.length - length + i] !== sequence[i]) return false;
  return true;
}
