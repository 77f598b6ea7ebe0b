import { COUNTS } from "./atoms.ts";

/** Which boxes [ymin, xmin, ymax, xmax] there may be. */
export interface BoxRules {
  readonly repeatedBoxes: boolean;
  readonly emptyBoxes: boolean;
}

/**
 * Tells for each next coordinate (0 to 1023) whether the box that begins with `begin` can still become one that is allowed
 * beside `boxes`. Nothing is begun that could only end as a box that is there already.
 */
export function coordinateTest(
  begin: readonly number[],
  boxes: readonly (readonly number[])[],
  rules: BoxRules,
): (coordinate: number) => boolean {
  const possible = completions(begin, rules.emptyBoxes);
  if (rules.repeatedBoxes) return (coordinate) => possible(coordinate) > 0;
  const taken = new Map<number, number>();
  for (const box of boxes) {
    const next = box[begin.length]!;
    if (begin.every((coordinate, i) => box[i] === coordinate)) taken.set(next, (taken.get(next) ?? 0) + 1);
  }
  return (coordinate) => possible(coordinate) > (taken.get(coordinate) ?? 0);
}

/** How many boxes begin with `begin` and a next coordinate. */
function completions(begin: readonly number[], empty: boolean): (coordinate: number) => number {
  const [ymin = 0, xmin = 0, ymax = 0] = begin;
  const most = COUNTS.loc - 1;
  if (empty) return () => COUNTS.loc ** (3 - begin.length);
  switch (begin.length) {
    case 0:
      // (most − y) heights, times the pairs xmin < xmax.
      return (y) => (most - y) * ((most * COUNTS.loc) / 2);
    case 1:
      return (x) => (most - ymin) * (most - x);
    case 2:
      return (y) => (y > ymin ? most - xmin : 0);
    default:
      return (x) => (x > xmin && ymax > ymin ? 1 : 0);
  }
}
