import { READBACK, STORAGE } from "./usage.ts";

/** Sizes below are rounded up to a power of two, above to a multiple: few sizes, so that buffers are used again. */
const COARSE = 65_536;
/** Smallest buffer: what most adapters align to. */
const SMALLEST = 256;
/** Free buffers kept per kind; beyond it they are given back to the browser. */
const KEEP_BYTES = 64 * 2 ** 20;

/** The size of the buffer that holds `bytes`. */
export function bufferSize(bytes: number): number {
  if (bytes > COARSE) return Math.ceil(bytes / COARSE) * COARSE;
  return Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(bytes)));
}

/** Buffers of one usage that are used again. */
class Shelf {
  readonly #device: GPUDevice;
  readonly #usage: number;
  readonly #free = new Map<number, GPUBuffer[]>();
  #freeBytes = 0;
  #closed = false;

  constructor(device: GPUDevice, usage: number) {
    this.#device = device;
    this.#usage = usage;
  }

  take(bytes: number): { readonly buffer: GPUBuffer; readonly fresh: boolean } {
    const size = bufferSize(bytes);
    const buffer = this.#free.get(size)?.pop();
    if (!buffer) return { buffer: this.#device.createBuffer({ size, usage: this.#usage }), fresh: true };
    this.#freeBytes -= size;
    return { buffer, fresh: false };
  }

  give(buffer: GPUBuffer): void {
    if (this.#closed || this.#freeBytes + buffer.size > KEEP_BYTES) return buffer.destroy();
    this.#freeBytes += buffer.size;
    const same = this.#free.get(buffer.size);
    if (same) same.push(buffer);
    else this.#free.set(buffer.size, [buffer]);
  }

  close(): void {
    this.#closed = true;
    for (const buffer of [...this.#free.values()].flat()) buffer.destroy();
    this.#free.clear();
    this.#freeBytes = 0;
  }
}

/** A GPU buffer with several holders; the last one to let go gives it back to the pool. */
export class Block {
  readonly buffer: GPUBuffer;
  readonly #pool: BufferPool;
  #holders = 1;

  constructor(pool: BufferPool, buffer: GPUBuffer) {
    this.#pool = pool;
    this.buffer = buffer;
  }

  hold(): this {
    this.#holders++;
    return this;
  }

  release(): void {
    if (--this.#holders === 0) this.#pool.give(this.buffer);
  }
}

/** All buffers of a backend that come and go: for tensors, and for reading back. */
export class BufferPool {
  readonly #storage: Shelf;
  readonly #readback: Shelf;

  constructor(device: GPUDevice) {
    this.#storage = new Shelf(device, STORAGE);
    this.#readback = new Shelf(device, READBACK);
  }

  /** A buffer for `bytes` of a tensor, held once; its content is left over from before unless `fresh`. */
  storage(bytes: number): { readonly block: Block; readonly fresh: boolean } {
    const { buffer, fresh } = this.#storage.take(bytes);
    return { block: new Block(this, buffer), fresh };
  }

  give(buffer: GPUBuffer): void {
    this.#storage.give(buffer);
  }

  readback(bytes: number): GPUBuffer {
    return this.#readback.take(bytes).buffer;
  }

  giveReadback(buffer: GPUBuffer): void {
    this.#readback.give(buffer);
  }

  /** Destroys what is free, and from now on everything that is given back. */
  close(): void {
    this.#storage.close();
    this.#readback.close();
  }
}
