// Whole rows in 8 bits, side by side: [panels][in][rows of a panel], each number scale · q with a signed q.

/** Columns that are laid out at once, so that what is written stays near the processor. */
const TILE = 256;
const [LEAST, MOST] = [-128, 127];

/** Rows as they lie in panels. */
export interface PackedPanels {
  /** Signed bytes. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** The sum of the q of each row. */
  readonly sums: Int32Array<ArrayBuffer>;
}

/** The numbers of `rows` [n, width] as the nearest q for these scales, where n is a multiple of the rows of a panel. */
export function packPanels(rows: Float32Array, width: number, panelRows: number, scales: Float32Array): PackedPanels {
  const data = new Int8Array(rows.length);
  const sums = new Int32Array(rows.length / width);
  const inverses = Float64Array.from(scales, (scale) => (scale === 0 ? 0 : 1 / scale));
  for (let first = 0; first < sums.length; first += panelRows) {
    for (let tile = 0; tile < width; tile += TILE) {
      const end = Math.min(width, tile + TILE);
      for (let r = 0; r < panelRows; r++) {
        const row = first + r;
        const inverse = inverses[row]!;
        let sum = 0;
        let at = first * width + tile * panelRows + r;
        for (let k = tile; k < end; k++, at += panelRows) {
          // Truncation of a positive number rounds it down.
          let q = ((rows[row * width + k]! * inverse + (MOST + 1.5)) | 0) + LEAST;
          q = q < LEAST ? LEAST : q > MOST ? MOST : q;
          data[at] = q;
          sum += q;
        }
        sums[row]! += sum;
      }
    }
  }
  return { data: new Uint8Array(data.buffer), sums };
}

/** The numbers that panels stand for: [rows, width]. */
export function unpackPanels(
  data: Int8Array,
  width: number,
  panelRows: number,
  scales: Float32Array,
): Float32Array<ArrayBuffer> {
  const numbers = new Float32Array(data.length);
  for (let row = 0; row < scales.length; row++) {
    const r = row % panelRows;
    let at = (row - r) * width + r;
    for (let k = 0; k < width; k++, at += panelRows) numbers[row * width + k] = scales[row]! * data[at]!;
  }
  return numbers;
}
