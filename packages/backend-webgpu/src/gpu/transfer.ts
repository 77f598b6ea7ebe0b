import { MODE_READ } from "./usage.ts";
import type { Block, BufferPool } from "./pool.ts";

/** A stretch of a GPU buffer; without bytes there may be no buffer. */
export interface Span {
  readonly buffer: GPUBuffer | undefined;
  readonly offset: number;
  readonly bytes: number;
}

/** A copy between two stretches of equal length. */
export interface Copy {
  readonly from: Span;
  readonly to: Span;
}

/** Moves bytes to, from and within a device. Copies of the GPU work in words of 4 bytes; this hides it. */
export class Transfer {
  bytesToDevice = 0;
  readonly #device: GPUDevice;
  readonly #pool: BufferPool;

  constructor(device: GPUDevice, pool: BufferPool) {
    this.#device = device;
    this.#pool = pool;
  }

  /** Writes `data` to the start of a buffer that has room for whole words. */
  write(buffer: GPUBuffer, data: Uint8Array, offset = 0): void {
    const whole = data.byteLength - (data.byteLength & 3);
    if (whole > 0) this.#device.queue.writeBuffer(buffer, offset, data, 0, whole);
    if (whole < data.byteLength) {
      const rest = new Uint8Array(4);
      rest.set(data.subarray(whole));
      this.#device.queue.writeBuffer(buffer, offset + whole, rest);
    }
    this.bytesToDevice += data.byteLength;
  }

  /** Zeros from the start of a buffer on. */
  clear(buffer: GPUBuffer, bytes: number): void {
    const encoder = this.#device.createCommandEncoder();
    encoder.clearBuffer(buffer, 0, toWords(bytes));
    this.#device.queue.submit([encoder.finish()]);
  }

  /** Copies of equal length, done together where they are whole words; the others pass through the processor. */
  async copy(copies: readonly Copy[]): Promise<void> {
    const wanted = copies.filter(({ from }) => from.bytes > 0);
    const whole = wanted.filter(({ from, to }) => ((from.offset | to.offset | from.bytes) & 3) === 0);
    if (whole.length > 0) this.#copyWords(whole);
    // One after another: two windows may share a word.
    for (const { from, to } of wanted.filter((copy) => !whole.includes(copy))) {
      const [bytes] = await this.read([from]);
      await this.#patch(to, bytes!);
    }
  }

  #copyWords(copies: readonly Copy[]): void {
    const encoder = this.#device.createCommandEncoder();
    const borrowed: Block[] = [];
    for (const { from, to } of copies) {
      let { buffer, offset } = from;
      if (buffer === to.buffer) {
        // WebGPU copies between two buffers only.
        const { block } = this.#pool.storage(from.bytes);
        borrowed.push(block);
        encoder.copyBufferToBuffer(buffer!, offset, block.buffer, 0, from.bytes);
        [buffer, offset] = [block.buffer, 0];
      }
      encoder.copyBufferToBuffer(buffer!, offset, to.buffer!, to.offset, from.bytes);
    }
    this.#device.queue.submit([encoder.finish()]);
    for (const block of borrowed) block.release();
  }

  /** Copies of the spans' bytes, all brought over in one go. */
  async read(spans: readonly Span[]): Promise<Uint8Array[]> {
    const places: number[] = [];
    let total = 0;
    for (const { offset, bytes } of spans) {
      places.push(total);
      if (bytes > 0) total += toWords((offset & 3) + bytes);
    }
    if (total === 0) return spans.map(() => new Uint8Array(0));
    const staging = this.#pool.readback(total);
    const encoder = this.#device.createCommandEncoder();
    spans.forEach(({ buffer, offset, bytes }, i) => {
      const words = toWords((offset & 3) + bytes);
      if (bytes > 0) encoder.copyBufferToBuffer(buffer!, offset - (offset & 3), staging, places[i]!, words);
    });
    this.#device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MODE_READ, 0, total);
    const mapped = new Uint8Array(staging.getMappedRange(0, total));
    const out = spans.map(({ offset, bytes }, i) =>
      mapped.slice(places[i]! + (offset & 3), places[i]! + (offset & 3) + bytes),
    );
    staging.unmap();
    this.#pool.giveReadback(staging);
    return out;
  }

  /** Overwrites a span that does not begin or end at a word. */
  async #patch({ buffer, offset, bytes }: Span, data: Uint8Array): Promise<void> {
    const start = offset - (offset & 3);
    const [around] = await this.read([{ buffer, offset: start, bytes: toWords(offset + bytes - start) }]);
    around!.set(data, offset - start);
    this.write(buffer!, around!, start);
  }
}

/** The next multiple of 4. */
export function toWords(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
