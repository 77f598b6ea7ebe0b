import { expect, it } from "vitest";
import { isIdentity, permute } from "../src/npz/permute.ts";
import { seeded } from "./random.ts";

const next = seeded(1);

/** Every order of so many axes. */
function orders(axes: readonly number[]): readonly (readonly number[])[] {
  if (axes.length === 0) return [[]];
  return axes.flatMap((axis) => orders(axes.filter((other) => other !== axis)).map((rest) => [axis, ...rest]));
}

/** Element by element, by its definition. */
function naive(data: Uint32Array, shape: readonly number[], order: readonly number[]): Uint32Array {
  const out = new Uint32Array(data.length);
  const lengths = order.map((axis) => shape[axis]);
  for (let to = 0; to < out.length; to++) {
    const index: number[] = [];
    let rest = to;
    for (let i = lengths.length - 1; i >= 0; i--) {
      index[order[i]] = rest % lengths[i];
      rest = Math.floor(rest / lengths[i]);
    }
    out[to] = data[shape.reduce((from, length, axis) => from * length + index[axis], 0)];
  }
  return out;
}

it.each([0, 1, 2, 3, 4])("moves %i axes in every order", (rank) => {
  for (let i = 0; i < 6; i++) {
    const shape = Array.from({ length: rank }, () => Math.floor(next() * (rank < 3 ? 80 : 9)) + (next() < 0.2 ? 0 : 1));
    const data = Uint32Array.from({ length: shape.reduce((product, length) => product * length, 1) }, (_, j) => j);
    for (const order of orders(shape.map((_, axis) => axis))) {
      const expected = naive(data, shape, order);
      expect(permute(data, shape, order)).toEqual(expected);
      if (isIdentity(shape, order)) expect(expected).toEqual(data);
      const back = order.map((_, axis) => order.indexOf(axis));
      expect(
        permute(
          expected,
          order.map((axis) => shape[axis]),
          back,
        ),
      ).toEqual(data);
    }
  }
});

it("keeps the bits of any element width", () => {
  for (const data of [
    Uint8Array.of(1, 2, 3, 4, 5, 6),
    Uint16Array.of(0x7fc1, 2, 3, 4, 5, 6),
    BigUint64Array.of(1n, 2n ** 63n, 3n, 4n, 5n, 6n),
  ]) {
    const out = permute<typeof data>(data, [2, 3], [1, 0]);
    expect([...out]).toEqual([data[0], data[3], data[1], data[4], data[2], data[5]]);
  }
});
