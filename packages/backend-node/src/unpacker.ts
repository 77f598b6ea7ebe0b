import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { REQUANTIZE_WASM } from "./generated/requantize-wasm.ts";

/** A matrix in blocks of 4 bits, or in panels already, from some row on, as it lies in a file. */
export interface MatrixInFile {
  readonly path: string;
  /** Bytes of the whole file when it was opened. */
  readonly size: number;
  /** Where the bytes of the first row begin, and its scales. */
  readonly data: number;
  readonly scales: number;
  readonly rows: number;
  /** Numbers of a row. */
  readonly width: number;
  readonly bits: 4 | 8;
  /** Numbers of a block, in 4 bits. */
  readonly blockSize: number;
  /** Rows of the panels that it becomes. */
  readonly rowsOfPanel: number;
}

/** A matrix to be unpacked into two tensors, which have these numbers in the store. */
export interface Unpacking {
  readonly from: MatrixInFile;
  readonly tensors: readonly [data: number, scales: number];
  /** Panels [panels, width, rows of a panel]. */
  readonly data: Int8Array<ArrayBuffer>;
  /** A scale for each row. */
  readonly scales: Float32Array<ArrayBuffer>;
}

/** A file of weights is not what it was when it was opened. */
export class FileChanged extends Error {}

/** What went wrong, on its way between threads. */
export interface UnpackFault {
  readonly text: string;
  readonly changed: boolean;
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

const PAGE_BYTES = 2 ** 16;
const FLOAT_BYTES = 4;
/** Of the kernel, beside a number for each row. */
const SCRATCH_BYTES = 128;

let compiled: WebAssembly.Module | undefined;

/** Reads matrices, and unpacks those in blocks a panel at a time: what is read is still in the processor's cache then. */
export class Unpacker {
  readonly #memory = new WebAssembly.Memory({ initial: 1 });
  readonly #kernel: Kernel;

  constructor() {
    compiled ??= new WebAssembly.Module(Buffer.from(REQUANTIZE_WASM, "base64"));
    const instance = new WebAssembly.Instance(compiled, { requantize: { memory: this.#memory } });
    this.#kernel = instance.exports as unknown as Kernel;
  }

  /** Fills panels, one after the other, and says what stopped it, if anything did. */
  unpack(work: readonly Unpacking[]): UnpackFault | undefined {
    try {
      for (const unpacking of work) this.#fill(unpacking);
      return undefined;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return { text, changed: error instanceof FileChanged };
    }
  }

  /** Rows that the matrix does not have become 0. Throws `FileChanged`. */
  #fill({ from, data, scales }: Unpacking): void {
    const { path, size, rows, rowsOfPanel } = from;
    const file = openSync(path, "r");
    try {
      const { size: now } = fstatSync(file);
      if (now !== size) throw new FileChanged(`${path} had ${size} bytes when it was opened and has ${now} now`);
      const read: Read = (start, into) => {
        for (let done = 0; done < into.byteLength;) {
          const got = readSync(file, into, done, into.byteLength - done, start + done);
          if (got === 0)
            throw new FileChanged(`${path} ended before byte ${start + into.byteLength} while it was read`);
          done += got;
        }
      };
      if (from.bits === 8) copyPanels(from, data, scales, read);
      else this.#unpackBlocks(from, data, scales, read);
      scales.fill(0, Math.ceil(rows / rowsOfPanel) * rowsOfPanel);
    } finally {
      closeSync(file);
    }
  }

  #unpackBlocks(from: MatrixInFile, data: Int8Array, scales: Float32Array, read: Read): void {
    const { rows, width, blockSize, rowsOfPanel } = from;
    const blocks = width / blockSize;
    const [rowBytes, rowScales] = [width / 2, blocks * FLOAT_BYTES];
    let needed = 0;
    const place = (bytes: number): number => {
      const at = needed;
      needed += Math.ceil(bytes / 64) * 64;
      return at;
    };
    const panelAt = place(width * rowsOfPanel);
    const scalesAt = place(rowsOfPanel * FLOAT_BYTES);
    const scratch = place(SCRATCH_BYTES + rowsOfPanel * FLOAT_BYTES);
    const blocksAt = place(rowsOfPanel * rowBytes);
    const blockScalesAt = place(rowsOfPanel * rowScales);
    const missing = needed - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE_BYTES));
    const bytes = new Uint8Array(this.#memory.buffer);
    const panel = new Int8Array(this.#memory.buffer, panelAt, width * rowsOfPanel);
    const panelScales = new Float32Array(this.#memory.buffer, scalesAt, rowsOfPanel);
    for (let row = 0; row < rows; row += rowsOfPanel) {
      const here = Math.min(rowsOfPanel, rows - row);
      read(from.data + row * rowBytes, bytes.subarray(blocksAt, blocksAt + here * rowBytes));
      read(from.scales + row * rowScales, bytes.subarray(blockScalesAt, blockScalesAt + here * rowScales));
      // Of the last panel, what the matrix has not.
      bytes.fill(0, blockScalesAt + here * rowScales, blockScalesAt + rowsOfPanel * rowScales);
      this.#kernel.panel(blocksAt, blockScalesAt, rowsOfPanel, blocks, blockSize / 2, scalesAt, panelAt, scratch);
      data.set(panel, row * width);
      scales.set(panelScales, row);
    }
  }
}

/** The buffers of arrays, which are moved from thread to thread. */
export function buffersOf(work: readonly Unpacking[]): ArrayBuffer[] {
  return work.flatMap(({ data, scales }) => [data.buffer, scales.buffer]);
}

/** What a fault is thrown as. */
export function errorOf({ text, changed }: UnpackFault): Error {
  return changed ? new FileChanged(text) : new Error(text);
}

type Read = (start: number, into: Uint8Array) => void;

function copyPanels(
  { data: at, scales: scalesAt, rows, width }: MatrixInFile,
  data: Int8Array,
  scales: Float32Array,
  read: Read,
): void {
  read(at, new Uint8Array(data.buffer, data.byteOffset, rows * width));
  read(scalesAt, new Uint8Array(scales.buffer, scales.byteOffset, rows * FLOAT_BYTES));
}
