/**
 * Results in memory that both threads see, each `bytes` long, one after the other. Waking a thread with a message takes ten times as
 * long as this, and for as long nobody multiplies.
 */
export interface ResultRing {
  readonly data: Uint8Array<SharedArrayBuffer>;
  /** How many results there are, and how many of them were handed over; whoever waits for the latter to grow is notified. */
  readonly counts: Int32Array<SharedArrayBuffer>;
  /** Of one result. */
  readonly bytes: number;
  /** Results that are handed over at a time. */
  readonly together: number;
}

const [ADDED, HANDED_OVER] = [0, 1];

/** Bytes that all results may take; larger ones are sent in messages. */
const MAX_BYTES = 2 ** 20;

/** A place for so many results; undefined where they are too large together. */
export function makeRing(bytes: number, results: number, together: number): ResultRing | undefined {
  if (bytes * results > MAX_BYTES) return undefined;
  return {
    data: new Uint8Array(new SharedArrayBuffer(bytes * results)),
    counts: new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT)),
    bytes,
    together,
  };
}

/** Adds a result, whose parts are `bytes` long together, and wakes who waits where there are enough to be handed over. */
export function addResult({ data, counts, bytes, together }: ResultRing, parts: readonly ArrayBuffer[]): void {
  const before = Atomics.load(counts, ADDED);
  let at = before * bytes;
  for (const part of parts) {
    data.set(new Uint8Array(part), at);
    at += part.byteLength;
  }
  Atomics.store(counts, ADDED, before + 1);
  if ((before + 1) % together !== 0) return;
  Atomics.store(counts, HANDED_OVER, before + 1);
  Atomics.notify(counts, HANDED_OVER);
}

/** How many results may be read: those that were handed over, or, after the last run, all. */
export function resultsIn({ counts }: ResultRing, ended: boolean): number {
  return Atomics.load(counts, ended ? ADDED : HANDED_OVER);
}

/** Copies of the parts of a result, which are so many bytes each. */
export function resultAt({ data, bytes }: ResultRing, place: number, sizes: readonly number[]): ArrayBuffer[] {
  let at = place * bytes;
  return sizes.map((size) => {
    at += size;
    return Uint8Array.from(data.subarray(at - size, at)).buffer;
  });
}

/** Wakes whoever still waits, for nothing more will come. */
export function closeRing({ counts }: ResultRing): void {
  Atomics.notify(counts, HANDED_OVER);
}

/** What Node 20 has and the library that these sources are checked with has not. */
interface AsyncAtomics {
  waitAsync(typedArray: Int32Array, index: number, value: number): { readonly value: Promise<string> | string };
}

/** Resolves when more results than these were handed over, or will be no more. */
export async function moreThan({ counts }: ResultRing, seen: number): Promise<void> {
  await (Atomics as unknown as AsyncAtomics).waitAsync(counts, HANDED_OVER, seen).value;
}
