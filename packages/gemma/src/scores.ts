/** Scores of tokens: [rows, vocabulary], or [rows, tokens] where some were asked for. */
export interface Scores {
  readonly data: Float32Array;
  readonly rows: number;
  readonly vocabulary: number;
}

/** The best token of each row, the lowest id of equals, as the graph chooses it. */
export function bestOf({ data, rows, vocabulary }: Scores): number[] {
  return Array.from({ length: rows }, (_, row) => {
    let best = row * vocabulary;
    for (let i = best + 1; i < (row + 1) * vocabulary; i++) if (data[i]! > data[best]!) best = i;
    return best - row * vocabulary;
  });
}
