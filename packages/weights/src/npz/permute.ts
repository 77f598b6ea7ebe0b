/** Arrays of elements that are moved, not understood. */
export type Elements = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/** Rows and columns that are transposed at a time: two tiles fit a first-level cache. */
const TILE = 32;

/**
 * The axes of a row-major array in another order: axis `i` of the result is axis `order[i]` of the input, as numpy's `transpose`
 * has it.
 */
export function permute<T extends Elements>(data: T, shape: readonly number[], order: readonly number[]): T {
  const [lengths, axes] = joinAxes(shape, order);
  const out = new (data.constructor as new (length: number) => T)(data.length);
  if (axes.length <= 1) out.set(data as never);
  else if (axes.length === 2) transpose(data, out, lengths[0]!, lengths[1]!, 0);
  else if (axes.length === 3 && axes[0] === 0) {
    const [count, rows, columns] = lengths as [number, number, number];
    for (let i = 0; i < count; i++) transpose(data, out, rows, columns, i * rows * columns);
  } else gather(data, out, lengths, axes);
  return out;
}

/** True where the order leaves every element where it is. */
export function isIdentity(shape: readonly number[], order: readonly number[]): boolean {
  return joinAxes(shape, order)[1].length <= 1;
}

/** Drops axes of length 1, and makes one axis of neighbours that stay neighbours. */
function joinAxes(
  shape: readonly number[],
  order: readonly number[],
): readonly [lengths: readonly number[], order: readonly number[]] {
  const groups: number[][] = [];
  for (const axis of order) {
    if (shape[axis] === 1) continue;
    const last = groups.at(-1)?.at(-1);
    if (last !== undefined && last < axis && shape.slice(last + 1, axis).every((length) => length === 1))
      groups.at(-1)!.push(axis);
    else groups.push([axis]);
  }
  const sorted = groups.toSorted((a, b) => a[0]! - b[0]!);
  const lengths = sorted.map((group) => group.reduce((product, axis) => product * shape[axis]!, 1));
  return [lengths, groups.map((group) => sorted.indexOf(group))];
}

/** [rows, columns] → [columns, rows], both beginning at `at`. */
function transpose<T extends Elements>(data: T, out: T, rows: number, columns: number, at: number): void {
  for (let r0 = 0; r0 < rows; r0 += TILE) {
    const r1 = Math.min(rows, r0 + TILE);
    for (let c0 = 0; c0 < columns; c0 += TILE) {
      const c1 = Math.min(columns, c0 + TILE);
      for (let c = c0; c < c1; c++) for (let r = r0; r < r1; r++) out[at + c * rows + r] = data[at + r * columns + c]!;
    }
  }
}

/** Any order, element by element. */
function gather<T extends Elements>(data: T, out: T, lengths: readonly number[], order: readonly number[]): void {
  const strides = lengths.map((_, i) => lengths.slice(i + 1).reduce((product, length) => product * length, 1));
  const outLengths = order.map((axis) => lengths[axis]!);
  const outStrides = order.map((axis) => strides[axis]!);
  const index = outLengths.map(() => 0);
  let from = 0;
  for (let to = 0; to < out.length; to++) {
    out[to] = data[from]!;
    for (let axis = index.length - 1; axis >= 0; axis--) {
      index[axis]!++;
      from += outStrides[axis]!;
      if (index[axis]! < outLengths[axis]!) break;
      from -= outStrides[axis]! * outLengths[axis]!;
      index[axis] = 0;
    }
  }
}
