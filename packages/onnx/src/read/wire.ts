import { PaliGemmaError } from "@paligemma/core";
import type { ByteSource } from "@paligemma/weights";

/** A field of a protobuf message: a number, or a range of bytes that is text, bytes or a message. */
export interface Field {
  readonly number: number;
  /** Of varints and fixed-width numbers: the number, as it is on the wire. */
  readonly value: bigint;
  /** Of everything with a length: where it lies. */
  readonly start: number;
  readonly end: number;
}

/** Bytes that are read ahead while fields are looked for. */
const WINDOW = 1 << 20;
/** Tag and length of a field, or tag and number: two varints of ten bytes. */
const MOST_HEAD = 20;
const WIRE = { varint: 0, fixed64: 1, length: 2, fixed32: 5 } as const;

function broken(name: string, at: number, what: string): PaliGemmaError {
  return new PaliGemmaError(
    "onnx/format",
    `${name} is no ONNX model: ${what} at byte ${at}. Download or export it again`,
  );
}

/** One field at `at`; `bytes` holds at least its head. Offsets are of `bytes`, plus `base`. */
function fieldAt(
  bytes: Uint8Array,
  at: number,
  base: number,
  end: number,
  name: string,
): { field: Field; next: number } {
  let position = at;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[position++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw broken(name, base + at, "a number that does not end");
  };
  const fixed = (width: 4 | 8): bigint => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (position + width > bytes.byteLength) throw broken(name, base + at, "the end, in the middle of a number");
    const value = width === 4 ? BigInt(view.getUint32(position, true)) : view.getBigUint64(position, true);
    position += width;
    return value;
  };
  const tag = Number(varint());
  const number = Math.floor(tag / 8);
  const wire = tag % 8;
  const value =
    wire === WIRE.varint || wire === WIRE.length
      ? varint()
      : wire === WIRE.fixed64
        ? fixed(8)
        : wire === WIRE.fixed32
          ? fixed(4)
          : undefined;
  if (value === undefined || number === 0) throw broken(name, base + at, `a field of the unknown kind ${wire}`);
  const start = base + position;
  const stop = wire === WIRE.length ? start + Number(value) : start;
  if (stop > end) throw broken(name, base + at, `a field that ends at ${stop}, behind the end ${end}`);
  return { field: { number, value, start, end: stop }, next: stop };
}

/** The fields of a message in memory. Offsets are of `bytes`. */
export function* fieldsOf(bytes: Uint8Array, name: string): Generator<Field, void, undefined> {
  for (let at = 0; at < bytes.byteLength;) {
    const { field, next } = fieldAt(bytes, at, 0, bytes.byteLength, name);
    yield field;
    at = next;
  }
}

/** A file that is walked from front to back: what is skipped is not read. */
export class Walker {
  readonly #source: ByteSource;
  readonly #signal: AbortSignal | undefined;
  #window: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(source: ByteSource, signal?: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
  }

  /** The fields of the message at [start, end) of the file. Offsets are of the file. */
  async *fields(start: number, end: number): AsyncGenerator<Field, void, undefined> {
    for (let at = start; at < end;) {
      const head = await this.bytes(at, Math.min(end, at + MOST_HEAD));
      const { field, next } = fieldAt(head, 0, at, end, this.#source.name);
      yield field;
      at = next;
    }
  }

  /** Bytes [start, end) of the file, which may be shared with other callers: read them, do not write. */
  async bytes(start: number, end: number): Promise<Uint8Array> {
    if (end - start > WINDOW) return await this.#source.read(start, end, this.#signal);
    if (start < this.#at || end > this.#at + this.#window.byteLength) {
      this.#window = await this.#source.read(start, Math.min(this.#source.size, start + WINDOW), this.#signal);
      this.#at = start;
    }
    return this.#window.subarray(start - this.#at, end - this.#at);
  }
}
