// Pillow's resampler (https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Resample.c): a separable filter
// that widens when shrinking, so that it never skips pixels; first along rows, then along columns.

/** A grid of numbers row by row, [height, width]. */
export interface Grid<Data extends Float32Array | Uint8Array = Float32Array | Uint8Array> {
  readonly width: number;
  readonly height: number;
  readonly data: Data;
}

interface Filter {
  readonly support: number;
  weight(x: number): number;
}

const BILINEAR: Filter = { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) };

const BICUBIC: Filter = {
  support: 2,
  weight: (signed) => {
    const [x, a] = [Math.abs(signed), -0.5];
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
  },
};

/** float32 values resized bilinearly, as Pillow does in mode F; shrinking averages. */
export function resizeBilinear(grid: Grid<Float32Array>, width: number, height: number): Grid<Float32Array> {
  const wide = grid.width === width ? grid : alongRows(grid, width, BILINEAR);
  return wide.height === height ? wide : turned(alongRows(turned(wide), height, BILINEAR));
}

/** Bytes resized bicubically with Pillow's fixed-point arithmetic, as it does in mode L. */
export function resizeBicubicBytes(grid: Grid<Uint8Array>, width: number, height: number): Grid<Uint8Array> {
  const wide = grid.width === width ? grid : alongRowsInBytes(grid, width);
  return wide.height === height ? wide : turned(alongRowsInBytes(turned(wide), height));
}

/** For each output position: the first input it uses, and the weights from there. */
function weightsOf(
  from: number,
  to: number,
  filter: Filter,
): readonly { readonly first: number; readonly weights: Float64Array }[] {
  const scale = Math.max(1, from / to);
  const narrow = 1 / scale; // as Pillow multiplies
  const support = filter.support * scale;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * (from / to);
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(from, Math.trunc(centre + support + 0.5));
    const weights = Float64Array.from({ length: last - first }, (__, k) =>
      filter.weight((k + first - centre + 0.5) * narrow),
    );
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: sum === 0 ? weights : weights.map((w) => w / sum) };
  });
}

function alongRows(
  { data, width: from, height }: Grid<Float32Array>,
  width: number,
  filter: Filter,
): Grid<Float32Array> {
  const columns = weightsOf(from, width, filter);
  const out = new Float32Array(width * height);
  for (let y = 0, i = 0; y < height; y++) {
    for (const { first, weights } of columns) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += data[y * from + first + k]! * weights[k]!;
      out[i++] = sum;
    }
  }
  return { width, height, data: out };
}

// Pillow keeps 22 bits of each weight: 32 less 8 of the value and 2 for sums beyond white.
const FRACTION_BITS = 22;

function alongRowsInBytes({ data, width: from, height }: Grid<Uint8Array>, width: number): Grid<Uint8Array> {
  const columns = weightsOf(from, width, BICUBIC).map(({ first, weights }) => ({
    first,
    weights: Int32Array.from(weights, (w) => Math.trunc((w < 0 ? -0.5 : 0.5) + w * (1 << FRACTION_BITS))),
  }));
  const out = new Uint8ClampedArray(width * height);
  for (let y = 0, i = 0; y < height; y++) {
    for (const { first, weights } of columns) {
      let sum = 1 << (FRACTION_BITS - 1);
      for (let k = 0; k < weights.length; k++) sum += data[y * from + first + k]! * weights[k]!;
      out[i++] = sum >> FRACTION_BITS;
    }
  }
  return { width, height, data: new Uint8Array(out.buffer) };
}

function turned<Data extends Float32Array | Uint8Array>({ data, width, height }: Grid<Data>): Grid<Data> {
  const out = data.slice() as Data;
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) out[x * height + y] = data[y * width + x]!;
  return { width: height, height: width, data: out };
}
