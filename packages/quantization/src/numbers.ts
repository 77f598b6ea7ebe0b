import { fromFloat16, PaliGemmaError, toFloat32, viewAs, type DType } from "@paligemma/core";
import type { TensorRef } from "@paligemma/weights";

/** Numbers that are converted at once: 4 MB of float32. */
const CHUNK = 2 ** 20;

let halves: Float32Array | undefined;

/** How many rows of this width are worked on at once: a multiple of those that belong together. */
export function rowsAtOnce(width: number, together: number): number {
  return Math.max(1, Math.floor(CHUNK / width / together)) * together;
}

/** The values of a matrix [out, width], some rows at a time, those that belong `together` always so. Throws `quantization/not-finite` for what has no place on a scale. */
export async function* matrixRows(
  ref: TensorRef,
  first: number,
  last: number,
  together: number,
  signal?: AbortSignal,
): AsyncGenerator<{ readonly first: number; readonly last: number; readonly rows: Float32Array }, void, undefined> {
  const [out = 0, width = 0] = ref.shape;
  const rowBytes = (ref.end - ref.start) / out;
  const step = rowsAtOnce(width, together);
  for (let from = first; from < last; from += step) {
    signal?.throwIfAborted();
    const to = Math.min(last, from + step);
    const bytes = await ref.source.read(ref.start + from * rowBytes, ref.start + to * rowBytes, signal);
    const rows = toNumbers(ref.dtype, bytes);
    const odd = firstOdd(rows);
    if (odd) throw notFinite(ref, from, odd);
    yield { first: from, last: to, rows };
  }
}

/** A number that is none, and where it stands. */
export interface Odd {
  readonly at: number;
  readonly value: number;
}

/** The first of the numbers that has no place on a scale. */
export function firstOdd(rows: Float32Array): Odd | undefined {
  for (let at = 0; at < rows.length; at++) if (!Number.isFinite(rows[at]!)) return { at, value: rows[at]! };
  return undefined;
}

/** The error that says so; `from` is the row of the matrix that counting began at. */
export function notFinite({ name, source, shape }: TensorRef, from: number, { at, value }: Odd): PaliGemmaError {
  return new PaliGemmaError(
    "quantization/not-finite",
    `${name} of ${source.name} has ${value} in row ${from + Math.floor(at / shape[1]!)}; is the checkpoint damaged?`,
  );
}

/** As `toFloat32`, several times as fast for half floats. */
export function toNumbers(dtype: DType, bytes: Uint8Array): Float32Array {
  const data = viewAs(dtype, bytes);
  if (dtype === "bfloat16") {
    const bits = new Uint32Array(data.length);
    for (let i = 0; i < bits.length; i++) bits[i] = (data[i] as number) << 16;
    return new Float32Array(bits.buffer);
  }
  if (dtype === "float16") {
    halves ??= Float32Array.from({ length: 2 ** 16 }, (_, i) => fromFloat16(i));
    const values = new Float32Array(data.length);
    for (let i = 0; i < values.length; i++) values[i] = halves[data[i] as number]!;
    return values;
  }
  return toFloat32({ dtype, shape: [data.length], data }).data;
}
