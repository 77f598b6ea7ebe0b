import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { REQUANTIZE_WASM } from "./generated/requantize-wasm.ts";

/** A matrix from some row on, as it lies in a file: in blocks of 4 bits, in panels already, or in bfloat16 or float32. */
export interface MatrixInFile {
  readonly path: string;
  /** Bytes of the whole file when it was opened. */
  readonly size: number;
  /** Where the bytes of the first row begin, and its scales, if it has any. */
  readonly data: number;
  readonly scales: number;
  readonly rows: number;
  /** Numbers of a row. */
  readonly width: number;
  /** Of a number: 4 in blocks, 8 in panels, 16 of bfloat16, 32 of float32. */
  readonly bits: 4 | 8 | 16 | 32;
  /** Numbers of a block, in 4 bits. */
  readonly blockSize: number;
  /** Rows of the panels that it becomes. */
  readonly rowsOfPanel: number;
}

/** What a matrix becomes. */
export interface Panels {
  /** [panels, width, rows of a panel] */
  readonly data: Int8Array<ArrayBuffer>;
  /** A scale for each row. */
  readonly scales: Float32Array<ArrayBuffer>;
  /** Of numbers: the sum of the bytes of each row, and what they are off by. */
  readonly sums?: Int32Array<ArrayBuffer>;
  readonly errors?: Float32Array<ArrayBuffer>;
}

/** A matrix to be unpacked into tensors, which have these numbers in the store. */
export interface Unpacking {
  readonly from: MatrixInFile;
  readonly tensors: Readonly<Partial<Record<keyof Panels, number>>>;
  readonly panels: Panels;
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
  bytes(
    from: number,
    half: 0 | 1,
    rows: number,
    width: number,
    scales: number,
    sums: number,
    errors: number,
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
  #fill({ from, panels }: Unpacking): void {
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
      if (from.bits === 8) copyPanels(from, panels, read);
      else if (from.bits === 4) this.#unpackBlocks(from, panels, read);
      else this.#roundNumbers(from, panels, read);
      panels.scales.fill(0, Math.ceil(rows / rowsOfPanel) * rowsOfPanel);
    } finally {
      closeSync(file);
    }
  }

  #unpackBlocks(from: MatrixInFile, { data, scales }: Panels, read: Read): void {
    const { rows, width, blockSize, rowsOfPanel } = from;
    const blocks = width / blockSize;
    const [rowBytes, rowScales] = [width / 2, blocks * FLOAT_BYTES];
    const [panelAt, scalesAt, scratch, blocksAt, blockScalesAt] = this.#places(
      width * rowsOfPanel,
      rowsOfPanel * FLOAT_BYTES,
      SCRATCH_BYTES + rowsOfPanel * FLOAT_BYTES,
      rowsOfPanel * rowBytes,
      rowsOfPanel * rowScales,
    );
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

  #roundNumbers(from: MatrixInFile, { data, scales, sums, errors }: Panels, read: Read): void {
    const { rows, width, rowsOfPanel, bits } = from;
    const rowBytes = (width * bits) / 8;
    const eachRow = rowsOfPanel * FLOAT_BYTES;
    const [panelAt, scalesAt, sumsAt, errorsAt, numbersAt, scratch] = this.#places(
      width * rowsOfPanel,
      eachRow,
      eachRow,
      eachRow,
      rowsOfPanel * rowBytes,
      width * FLOAT_BYTES,
    );
    const { buffer } = this.#memory;
    const panel = new Int8Array(buffer, panelAt, width * rowsOfPanel);
    const numbers = new Uint8Array(buffer, numbersAt, rowsOfPanel * rowBytes);
    for (let row = 0; row < rows; row += rowsOfPanel) {
      const here = Math.min(rowsOfPanel, rows - row) * rowBytes;
      read(from.data + row * rowBytes, numbers.subarray(0, here));
      numbers.fill(0, here);
      this.#kernel.bytes(
        numbersAt,
        bits === 16 ? 1 : 0,
        rowsOfPanel,
        width,
        scalesAt,
        sumsAt,
        errorsAt,
        panelAt,
        scratch,
      );
      data.set(panel, row * width);
      scales.set(new Float32Array(buffer, scalesAt, rowsOfPanel), row);
      sums?.set(new Int32Array(buffer, sumsAt, rowsOfPanel), row);
      errors?.set(new Float32Array(buffer, errorsAt, rowsOfPanel), row);
    }
  }

  /** Places for so many bytes each, in memory that is there. */
  #places<const Sizes extends readonly number[]>(...sizes: Sizes): { readonly [K in keyof Sizes]: number } {
    let needed = 0;
    const places = sizes.map((bytes) => {
      const at = needed;
      needed += Math.ceil(bytes / 64) * 64;
      return at;
    });
    const missing = needed - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE_BYTES));
    return places as { readonly [K in keyof Sizes]: number };
  }
}

/** The buffers of arrays, which are moved from thread to thread. */
export function buffersOf(work: readonly Unpacking[]): ArrayBuffer[] {
  return work.flatMap(({ panels: { data, scales, sums, errors } }) =>
    [data, scales, sums, errors].flatMap((array) => (array ? [array.buffer] : [])),
  );
}

/** What a fault is thrown as. */
export function errorOf({ text, changed }: UnpackFault): Error {
  return changed ? new FileChanged(text) : new Error(text);
}

type Read = (start: number, into: Uint8Array) => void;

function copyPanels(
  { data: at, scales: scalesAt, rows, width }: MatrixInFile,
  { data, scales }: Panels,
  read: Read,
): void {
  read(at, new Uint8Array(data.buffer, data.byteOffset, rows * width));
  read(scalesAt, new Uint8Array(scales.buffer, scales.byteOffset, rows * FLOAT_BYTES));
}
