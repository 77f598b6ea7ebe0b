import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { REQUANTIZE_WASM } from "./generated/requantize-wasm.ts";

/** A matrix in blocks of 4 bits, from some row on, as it lies in a file. */
export interface BlocksInFile {
  readonly path: string;
  /** Bytes of the whole file when it was opened. */
  readonly size: number;
  /** Where the bytes of the first row begin, and its scales. */
  readonly data: number;
  readonly scales: number;
  readonly rows: number;
  /** Numbers of a block. */
  readonly blockSize: number;
}

/** What wasm/requantize.wat exports. */
interface Kernel {
  panel(
    data: number,
    scales: number,
    rows: number,
    blocks: number,
    blockBytes: number,
    rowScales: number,
    to: number,
    scratch: number,
  ): void;
}

/** Bytes of blocks that are read at a time: they are still in the processor's cache when they are unpacked. */
const READ_BYTES = 2 ** 20;
const PAGE_BYTES = 2 ** 16;
const FLOAT_BYTES = 4;
/** Of the kernel, beside a number for each row. */
const SCRATCH_BYTES = 128;
const SMALLEST_BLOCK = 32;

let compiled: WebAssembly.Module | undefined;

/** One matrix of bytes in panels, in memory that the kernel writes to and the runtime reads from. */
export class PanelMemory {
  /** [panels, width, rows of a panel] */
  readonly data: Int8Array;
  /** [panels, 1, rows of a panel] */
  readonly scales: Float32Array;
  readonly #width: number;
  readonly #rows: number;
  /** Panels that are read and unpacked at a time. */
  readonly #together: number;
  readonly #bytes: Uint8Array;
  readonly #kernel: Kernel;
  readonly #places: { readonly scratch: number; readonly blocks: number; readonly blockScales: number };

  constructor(panels: number, width: number, rows: number) {
    const panelBytes = (rows * width) / 2;
    this.#width = width;
    this.#rows = rows;
    this.#together = Math.max(1, Math.floor(READ_BYTES / panelBytes));
    let size = 0;
    const place = (bytes: number): number => {
      const at = size;
      size += Math.ceil(bytes / 64) * 64;
      return at;
    };
    const [data, scales] = [place(panels * width * rows), place(panels * rows * FLOAT_BYTES)];
    this.#places = {
      scratch: place(SCRATCH_BYTES + rows * FLOAT_BYTES),
      blocks: place(this.#together * panelBytes),
      blockScales: place(this.#together * rows * (width / SMALLEST_BLOCK) * FLOAT_BYTES),
    };
    const memory = new WebAssembly.Memory({ initial: Math.ceil(size / PAGE_BYTES) });
    compiled ??= new WebAssembly.Module(Buffer.from(REQUANTIZE_WASM, "base64"));
    const instance = new WebAssembly.Instance(compiled, { requantize: { memory } });
    this.#kernel = instance.exports as unknown as Kernel;
    this.#bytes = new Uint8Array(memory.buffer);
    this.data = new Int8Array(memory.buffer, data, panels * width * rows);
    this.scales = new Float32Array(memory.buffer, scales, panels * rows);
  }

  /** Unpacks a matrix; rows that it does not have become 0. Throws where the file is not what it was. */
  fill({ path, size, data, scales, rows, blockSize }: BlocksInFile): void {
    const file = openSync(path, "r");
    try {
      if (fstatSync(file).size !== size)
        throw new FileChanged(`${path} had ${size} bytes when it was opened and has ${fstatSync(file).size} now`);
      const read = (from: number, to: number, bytes: number): void => {
        for (let done = 0; done < bytes;) {
          const got = readSync(file, this.#bytes, to + done, bytes - done, from + done);
          if (got === 0) throw new FileChanged(`${path} ended before byte ${from + bytes} while it was read`);
          done += got;
        }
      };
      const blocks = this.#width / blockSize;
      const [rowBytes, rowScales] = [this.#width / 2, blocks * FLOAT_BYTES];
      for (let row = 0; row < rows; row += this.#together * this.#rows) {
        const here = Math.min(this.#together * this.#rows, rows - row);
        const { blocks: to, blockScales: scalesTo } = this.#places;
        read(data + row * rowBytes, to, here * rowBytes);
        read(scales + row * rowScales, scalesTo, here * rowScales);
        // What is missing of the last panel.
        const panels = Math.ceil(here / this.#rows);
        this.#bytes.fill(0, scalesTo + here * rowScales, scalesTo + panels * this.#rows * rowScales);
        for (let panel = 0; panel < panels; panel++) this.#unpack(row / this.#rows + panel, panel, blocks, blockSize);
      }
      this.scales.fill(0, Math.ceil(rows / this.#rows) * this.#rows);
    } finally {
      closeSync(file);
    }
  }

  /** Unpacks what was read as number `from` to the panel `to`. */
  #unpack(to: number, from: number, blocks: number, blockSize: number): void {
    const [rows, width] = [this.#rows, this.#width];
    this.#kernel.panel(
      this.#places.blocks + (from * rows * width) / 2,
      this.#places.blockScales + from * rows * blocks * FLOAT_BYTES,
      rows,
      blocks,
      blockSize / 2,
      this.scales.byteOffset + to * rows * FLOAT_BYTES,
      this.data.byteOffset + to * rows * width,
      this.#places.scratch,
    );
  }
}

/** A file of weights is not what it was when it was opened. */
export class FileChanged extends Error {}
