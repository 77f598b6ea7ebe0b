/**
 * Results in memory that both threads see, each `bytes` long, one after the other. Waking a thread with a message takes ten times as
 * long as this, and for as long nobody multiplies.
 */
export interface ResultRing {
  readonly data: Uint8Array<SharedArrayBuffer>;
  /** How many there are; whoever waits for more is notified. */
  readonly count: Int32Array<SharedArrayBuffer>;
  /** Of one result. */
  readonly bytes: number;
}

/** Bytes that all results may take; larger ones are sent in messages. */
const MAX_BYTES = 2 ** 20;

/** A place for so many results; undefined where they are too large together. */
export function makeRing(bytes: number, results: number): ResultRing | undefined {
  if (bytes * results > MAX_BYTES) return undefined;
  return {
    data: new Uint8Array(new SharedArrayBuffer(bytes * results)),
    count: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)),
    bytes,
  };
}

/** Adds a result, whose parts are `bytes` long together, and wakes who waits for it. */
export function addResult({ data, count, bytes }: ResultRing, parts: readonly ArrayBuffer[]): void {
  let at = Atomics.load(count, 0) * bytes;
  for (const part of parts) {
    data.set(new Uint8Array(part), at);
    at += part.byteLength;
  }
  Atomics.add(count, 0, 1);
  Atomics.notify(count, 0);
}

/** How many results there are. */
export function resultsIn({ count }: ResultRing): number {
  return Atomics.load(count, 0);
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
export function closeRing({ count }: ResultRing): void {
  Atomics.notify(count, 0);
}

/** What Node 20 has and the library that these sources are checked with has not. */
interface AsyncAtomics {
  waitAsync(typedArray: Int32Array, index: number, value: number): { readonly value: Promise<string> | string };
}

/** Resolves when there are more results than were told, or will be no more. */
export async function moreThan({ count }: ResultRing, told: number): Promise<void> {
  await (Atomics as unknown as AsyncAtomics).waitAsync(count, 0, told).value;
}
