import type { Choices } from "@paligemma/graph";
import type { Scores } from "./scores.ts";

/** Share of the output layer from which on all of it is computed: what is picked out of it is copied first. */
const MOST = 1 / 8;

/**
 * What the graph of some scores is asked for to score these tokens, ascending: the tokens, or the numbers of the panels in which they lie.
 * Undefined where they are none, or too many to be worth it.
 */
export function chosenFor(
  tokens: Int32Array,
  { perChoice, count = Infinity }: Choices,
  vocabulary: number,
): readonly number[] | undefined {
  const chosen = [...new Set(Array.from(tokens, (token) => Math.floor(token / perChoice)))];
  const most = Math.min(count, (vocabulary / perChoice) * MOST);
  if (chosen.length === 0 || chosen.length > most) return undefined;
  return count === Infinity ? chosen : [...chosen, ...Array.from({ length: count - chosen.length }, () => chosen[0]!)];
}

/** Columns of the tokens among the scores of what was chosen. */
export function columnsOf(tokens: Int32Array, chosen: readonly number[], { perChoice }: Choices): Int32Array {
  const places = new Map<number, number>();
  chosen.forEach((choice, place) => !places.has(choice) && places.set(choice, place));
  return tokens.map((token) => places.get(Math.floor(token / perChoice))! * perChoice + (token % perChoice));
}

/** Scores [rows, vocabulary] with these columns alone. */
export function pickColumns({ data, rows, vocabulary }: Scores, columns: Int32Array): Scores {
  const picked = new Float32Array(rows * columns.length);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < columns.length; i++) picked[row * columns.length + i] = data[row * vocabulary + columns[i]!]!;
  return { data: picked, rows, vocabulary: columns.length };
}
