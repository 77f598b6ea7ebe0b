import { bitsOf, bytesFor, sizeOf, type OnProgress } from "@paligemma/core";
import type { ByteSource } from "@paligemma/weights";
import { changed, togetherBytes } from "./changes.ts";
import { Room, convert } from "./convert.ts";
import type { LoadedWeight } from "./plan.ts";

/** Bytes that are asked for in one read: big enough for the network, small beside a tensor. */
const READ_BYTES = 8 * 2 ** 20;
/** Bytes of one tensor that are converted at once. */
const PIECE_BYTES = 4 * 2 ** 20;
/** Gap between two tensors of a file that is read over instead of starting another read. */
const GAP_BYTES = 65_536;

/** Part of a tensor: bytes `[start, end)` of its source, which become `bytes` from `offset` on in the loaded format. */
interface Piece {
  readonly weight: LoadedWeight;
  readonly start: number;
  readonly end: number;
  readonly offset: number;
}

interface Read {
  readonly source: ByteSource;
  readonly start: number;
  end: number;
  readonly pieces: Piece[];
}

/**
 * Gets a converted part of a tensor, to be put at `offset` bytes; its memory is used again for the next. May return a promise to
 * slow the stream down.
 */
export type Sink = (weight: LoadedWeight, offset: number, bytes: Uint8Array) => void | Promise<void>;

/** How weights are streamed. */
export interface StreamOptions {
  readonly task: string;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
  /** Told the bytes that are held at once, before each part. */
  readonly onHeld?: (bytes: number) => void;
}

/**
 * Reads tensors in the order of their files, neighbours together, and hands them over in parts: at no time more than one
 * read and one converted part are held. Throws what the sources throw.
 */
export async function streamWeights(
  weights: readonly LoadedWeight[],
  sink: Sink,
  options: StreamOptions,
): Promise<void> {
  const total = weights.reduce((sum, { ref }) => sum + ref.end - ref.start, 0);
  const room = new Room();
  let done = 0;
  const report = (): void => options.onProgress?.({ task: options.task, done, total, unit: "bytes" });
  if (total > 0) report();
  for (const { source, start, end, pieces } of planReads(weights)) {
    options.signal?.throwIfAborted();
    const bytes = await source.read(start, end, options.signal);
    for (const piece of pieces) {
      const { ref, dtype, change } = piece.weight;
      const raw = bytes.subarray(piece.start - start, piece.end - start);
      const converted = change ? changed(raw, change) : convert(raw, ref.dtype, dtype, room);
      options.onHeld?.(bytes.byteLength + (converted === raw ? 0 : converted.byteLength));
      await sink(piece.weight, piece.offset, converted);
      done += piece.end - piece.start;
    }
    giveBack(bytes);
    report();
  }
}

/** Gives the memory of a read back where the engine can: else reads pile up until it collects them. */
function giveBack(bytes: Uint8Array): void {
  const buffer = bytes.buffer as ArrayBufferLike & { readonly transfer?: (size: number) => ArrayBuffer };
  // The source has handed it over; a part of something larger is not all ours.
  if (buffer.byteLength === bytes.byteLength) buffer.transfer?.(0);
}

function planReads(weights: readonly LoadedWeight[]): Read[] {
  const bySource = new Map<ByteSource, Piece[]>();
  for (const weight of weights) {
    const { source } = weight.ref;
    const pieces = bySource.get(source) ?? [];
    bySource.set(source, pieces);
    pieces.push(...cut(weight));
  }
  const reads: Read[] = [];
  for (const [source, pieces] of bySource) {
    let read: Read | undefined;
    for (const piece of pieces.toSorted((a, b) => a.start - b.start)) {
      if (read && piece.start - read.end <= GAP_BYTES && piece.end - read.start <= READ_BYTES) {
        read.pieces.push(piece);
        read.end = Math.max(read.end, piece.end);
      } else {
        read = { source, start: piece.start, end: piece.end, pieces: [piece] };
        reads.push(read);
      }
    }
  }
  return reads;
}

/** A tensor in parts whose borders are whole elements, whole words in either format, and what a change takes together. */
function cut(weight: LoadedWeight): Piece[] {
  const { ref, dtype, shape, change } = weight;
  const together = togetherBytes(change);
  const step = Math.max(1, Math.floor(PIECE_BYTES / together)) * together;
  const ratio = (bitsOf(dtype) * sizeOf(shape)) / (bitsOf(ref.dtype) * sizeOf(ref.shape));
  const pieces: Piece[] = [];
  for (let start = ref.start; start < ref.end; start += step) {
    const end = Math.min(start + step, ref.end);
    pieces.push({ weight, start, end, offset: (start - ref.start) * ratio });
  }
  return pieces;
}

/** Bytes that a tensor takes as it is loaded. */
export function loadedBytes({ dtype, shape }: LoadedWeight): number {
  return bytesFor(dtype, sizeOf(shape));
}

/** What a tensor is read as: the same for two that come out the same, of one source. */
export function loadedAs({ ref, dtype, change }: LoadedWeight): string {
  return `${ref.start}:${ref.end}:${ref.dtype}:${dtype}:${JSON.stringify(change)}`;
}
