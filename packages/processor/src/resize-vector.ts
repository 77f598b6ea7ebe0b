import { coefficients, type Coefficients } from "./coefficients.ts";
import { RESAMPLE_WASM } from "./generated/resample-wasm.ts";
import type { ImageLike } from "./image.ts";
import type { Filter } from "./kernels.ts";

/** The functions of wasm/resample.wat; all numbers are byte offsets into its memory, or counts. */
interface Resampler {
  readonly memory: WebAssembly.Memory;
  horizontal(
    source: number,
    sourceStride: number,
    target: number,
    targetStride: number,
    rows: number,
    width: number,
    spans: number,
    weights: number,
    weightStride: number,
  ): void;
  vertical(source: number, stride: number, target: number, bytes: number, weights: number, weightsEnd: number): void;
}

/** Scratch memory that is kept between calls; what needs more is computed without vectors. */
const MAX_SCRATCH = 32 * 2 ** 20;

/** Rows are copied in and narrowed in pieces of about this size, which stay in the processor's cache. */
const CHUNK_BYTES = 2 ** 18;

let resampler: Resampler | false | undefined;

/**
 * An RGB image at another size by WebAssembly vectors, the same bytes as `resizePlain`. Undefined where there are no
 * vectors, for other channels, and for shapes that would need too much scratch memory.
 */
export function resizeVector(image: ImageLike, width: number, height: number, filter: Filter): ImageLike | undefined {
  if (image.channels !== 3) return undefined;
  const wasm = (resampler ??= instantiate());
  if (wasm === false) return undefined;
  const across = width === image.width ? undefined : coefficients(image.width, width, filter);
  const down = height === image.height ? undefined : coefficients(image.height, height, filter);
  const plan = layOut(image, width, across, down);
  if (plan.end > MAX_SCRATCH) return undefined;
  const missing = plan.end - wasm.memory.buffer.byteLength;
  if (missing > 0) wasm.memory.grow(Math.ceil(missing / 65_536));
  const bytes = new Uint8Array(wasm.memory.buffer);
  if (across) writeAcross(wasm.memory, plan, across);
  if (down) writeDown(wasm.memory, plan, down);

  const out = new Uint8Array(width * height * 3);
  const inputStride = image.width * 3;
  const rowBytes = width * 3;
  let start = 0; // the window holds the narrowed input rows start … end − 1
  let end = 0;
  /** Narrows input rows into the window up to `last`; rows above `first` are done with. */
  const fill = (first: number, last: number): void => {
    while (end < last) {
      if (end - start === plan.windowRows) {
        bytes.copyWithin(
          plan.window,
          plan.window + (first - start) * plan.stride,
          plan.window + (end - start) * plan.stride,
        );
        start = first;
      }
      const rows = Math.min(plan.chunkRows, plan.windowRows - (end - start), image.height - end);
      const target = plan.window + (end - start) * plan.stride;
      if (across) {
        bytes.set(image.data.subarray(end * inputStride, (end + rows) * inputStride), plan.chunk);
        wasm.horizontal(
          plan.chunk,
          inputStride,
          target,
          plan.stride,
          rows,
          width,
          plan.spans,
          plan.across,
          plan.acrossStride,
        );
      } else {
        for (let i = 0; i < rows; i++)
          bytes.set(image.data.subarray((end + i) * rowBytes, (end + i + 1) * rowBytes), target + i * plan.stride);
      }
      end += rows;
    }
  };
  for (let y = 0; y < height; y++) {
    const first = down ? down.first[y]! : y;
    fill(first, down ? first + down.count[y]! : y + 1);
    let row = plan.window + (first - start) * plan.stride;
    if (down) {
      const weights = plan.down + y * plan.downStride;
      wasm.vertical(row, plan.stride, plan.row, rowBytes, weights, weights + Math.ceil(down.count[y]! / 2) * 8);
      row = plan.row;
    }
    out.set(bytes.subarray(row, row + rowBytes), y * rowBytes);
  }
  return { data: out, width, height, channels: 3 };
}

interface Plan {
  readonly spans: number;
  readonly across: number;
  readonly acrossStride: number;
  readonly down: number;
  readonly downStride: number;
  readonly chunk: number;
  readonly chunkRows: number;
  readonly window: number;
  readonly windowRows: number;
  readonly row: number;
  /** Bytes between rows of the window. */
  readonly stride: number;
  readonly end: number;
}

/** Where everything lies in the memory; vectors are read and written up to 16 bytes beyond their rows. */
function layOut(
  image: ImageLike,
  width: number,
  across: Coefficients | undefined,
  down: Coefficients | undefined,
): Plan {
  let end = 0;
  const place = (bytes: number): number => {
    const at = end;
    end += Math.ceil(bytes / 16) * 16 + 16;
    return at;
  };
  const stride = Math.ceil((width * 3) / 16) * 16 + 16;
  const acrossStride = across ? Math.ceil(across.taps / 4) * 16 : 0;
  const downStride = down ? Math.ceil(down.taps / 2) * 8 : 0;
  const chunkRows = Math.min(Math.max(Math.floor(CHUNK_BYTES / (image.width * 3)), 1), image.height);
  const windowRows = (down?.taps ?? 1) + chunkRows;
  const spans = place(across ? width * 8 : 0);
  const weightsAcross = place(across ? width * acrossStride : 0);
  const weightsDown = place(down ? down.first.length * downStride : 0);
  const chunk = place(across ? chunkRows * image.width * 3 : 0);
  // One row more: an odd number of taps reads one row beyond, with the weight 0.
  const window = place((windowRows + 1) * stride);
  const row = place(stride);
  return {
    spans,
    across: weightsAcross,
    acrossStride,
    down: weightsDown,
    downStride,
    chunk,
    chunkRows,
    window,
    windowRows,
    row,
    stride,
    end,
  };
}

/** Byte offsets and weights of the horizontal pass, four taps at a time. */
function writeAcross(memory: WebAssembly.Memory, plan: Plan, { taps, first, count, weights }: Coefficients): void {
  const spans = new Int32Array(memory.buffer, plan.spans, first.length * 2);
  const parts = new Int16Array(memory.buffer, plan.across, (first.length * plan.acrossStride) / 2).fill(0);
  for (let x = 0; x < first.length; x++) {
    spans[x * 2] = first[x]! * 3;
    spans[x * 2 + 1] = Math.ceil(count[x]! / 4) * 16;
    for (let t = 0; t < count[x]!; t++) {
      const at = (x * plan.acrossStride) / 2 + (t >> 2) * 8 + (t & 3);
      parts[at] = weights[x * taps + t]! >> 12;
      parts[at + 4] = weights[x * taps + t]! & 4095;
    }
  }
}

/** Weights of the vertical pass, two rows at a time. */
function writeDown(memory: WebAssembly.Memory, plan: Plan, { taps, first, count, weights }: Coefficients): void {
  const parts = new Int16Array(memory.buffer, plan.down, (first.length * plan.downStride) / 2).fill(0);
  for (let y = 0; y < first.length; y++) {
    for (let t = 0; t < count[y]!; t++) {
      const at = (y * plan.downStride) / 2 + (t >> 1) * 4 + (t & 1);
      parts[at] = weights[y * taps + t]! >> 12;
      parts[at + 2] = weights[y * taps + t]! & 4095;
    }
  }
}

function instantiate(): Resampler | false {
  try {
    const binary = Uint8Array.from(atob(RESAMPLE_WASM), (character) => character.charCodeAt(0));
    return new WebAssembly.Instance(new WebAssembly.Module(binary)).exports as unknown as Resampler;
  } catch {
    // No vectors, or a content security policy without wasm-unsafe-eval: the plain version gives the same bytes.
    return false;
  }
}
