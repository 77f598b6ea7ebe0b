import { overlapArea, type Rectangle } from "./path.ts";

/** A label that wants a place beside its object. */
export interface LabelWish {
  readonly width: number;
  readonly height: number;
  /** The object's rectangle. */
  readonly target: Rectangle;
}

/** Where a label goes, and whether that is away from its object, so that a line has to lead to it. */
export interface LabelPlace extends Rectangle {
  readonly leader: boolean;
}

/**
 * A place for each label inside the picture such that no two cover each other: at the corners and edges of its object
 * where possible, there preferring places that cover little of other objects; else the nearest free place, with a
 * leader; `undefined` where the picture is full. Small objects choose first, since their labels have fewest places.
 */
export function placeLabels(
  wishes: readonly LabelWish[],
  width: number,
  height: number,
): readonly (LabelPlace | undefined)[] {
  const places: (LabelPlace | undefined)[] = wishes.map(() => undefined);
  const taken: Rectangle[] = [];
  const area = ({ target }: LabelWish): number => target.width * target.height;
  const order = [...wishes.keys()].toSorted((a, b) => area(wishes[a]!) - area(wishes[b]!) || a - b);
  for (const index of order) {
    const wish = wishes[index]!;
    if (wish.width > width || wish.height > height) continue;
    const isFree = (place: Rectangle): boolean => taken.every((other) => overlapArea(place, other) === 0);
    const place = beside(wish, wishes, index, width, height, isFree) ?? nearest(wish, taken, width, height, isFree);
    if (place === undefined) continue;
    places[index] = place;
    taken.push(place);
  }
  return places;
}

/** The best free place on the object's own edges. */
function beside(
  wish: LabelWish,
  wishes: readonly LabelWish[],
  index: number,
  width: number,
  height: number,
  isFree: (place: Rectangle) => boolean,
): LabelPlace | undefined {
  const { target } = wish;
  const [right, bottom] = [target.x + target.width - wish.width, target.y + target.height];
  const middle = target.x + (target.width - wish.width) / 2;
  const rows = [target.y - wish.height, target.y, bottom, bottom - wish.height];
  let best: LabelPlace | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const [row, y] of rows.entries()) {
    for (const [column, x] of [target.x, right, middle].entries()) {
      const place = inside({ x, y, width: wish.width, height: wish.height }, width, height);
      const shift = Math.abs(place.x - x) + Math.abs(place.y - y);
      // Pushed back into the picture it may still touch its object; if not, it is no place beside it.
      if (shift > wish.height + target.width + target.height || !isFree(place)) continue;
      const covered = wishes.reduce((sum, other, i) => (i === index ? sum : sum + rim(place, other.target)), 0);
      const own = row === 1 || row === 3 ? overlapArea(place, target) / Math.max(1, target.width * target.height) : 0;
      const cost =
        row * 0.1 + column * 0.03 + covered / (wish.width * wish.height) + own * 2 + (shift / wish.height) * 0.5;
      if (cost < least) [best, least] = [{ ...place, leader: false }, cost];
    }
  }
  return best;
}

/** How much of another object a label hides: its corners count, and small objects vanish altogether. */
function rim(place: Rectangle, other: Rectangle): number {
  const shared = overlapArea(place, other);
  const size = other.width * other.height;
  return size === 0 ? 0 : shared * Math.min(1, 0.15 + (place.width * place.height) / size);
}

/** The nearest place where nothing lies yet: next to labels already placed, or on the rim of the picture. */
function nearest(
  wish: LabelWish,
  taken: readonly Rectangle[],
  width: number,
  height: number,
  isFree: (place: Rectangle) => boolean,
): LabelPlace | undefined {
  const { target } = wish;
  const xs = new Set([target.x, 0, width - wish.width]);
  const ys = new Set([target.y - wish.height, target.y + target.height, 0, height - wish.height]);
  for (const other of taken) {
    for (const x of [other.x, other.x - wish.width, other.x + other.width]) xs.add(x);
    for (const y of [other.y, other.y - wish.height, other.y + other.height]) ys.add(y);
  }
  const [centreX, centreY] = [target.x + target.width / 2, target.y + target.height / 2];
  let best: LabelPlace | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const y of ys) {
    for (const x of xs) {
      const place = inside({ x, y, width: wish.width, height: wish.height }, width, height);
      const distance = Math.hypot(place.x + wish.width / 2 - centreX, place.y + wish.height / 2 - centreY);
      if (distance < least && isFree(place))
        [best, least] = [{ ...place, leader: overlapArea(place, target) === 0 }, distance];
    }
  }
  return best;
}

function inside(place: Rectangle, width: number, height: number): Rectangle {
  const x = Math.max(0, Math.min(place.x, width - place.width));
  const y = Math.max(0, Math.min(place.y, height - place.height));
  return { ...place, x, y };
}
