import { CONVOLVE_WASM } from "./generated/convolve-wasm.ts";

/** ReLU after the sum. */
export const RELU = 1;
/** Add what the output held before: the shortcut of a residual block. */
export const RESIDUAL = 2;

/** A convolution over channel-last rows reached through tables; all addresses are bytes in the kernel's memory. */
export interface Convolution {
  readonly taps: number;
  readonly channels: number;
  /** A multiple of 8. */
  readonly outputs: number;
  /** Pointers to the input rows, [pixels, taps]. */
  readonly rows: number;
  /** Pointers to the output rows, [pixels]. */
  readonly outs: number;
  /** [outputs / 8, taps, channels, 8]. */
  readonly weights: number;
  /** [outputs]. */
  readonly bias: number;
  /** `RELU`, `RESIDUAL`, or 0. */
  readonly mode: number;
}

/** Memory and the one operation that runs on it. */
export interface Kernel {
  readonly kind: "wasm" | "javascript";
  /** Address of `bytes` zeroed bytes, aligned to 16. */
  allocate(bytes: number): number;
  /** The memory as floats; valid until the next `allocate`. */
  floats(): Float32Array;
  /** The memory as integers; valid until the next `allocate`. */
  integers(): Int32Array;
  /** Runs a convolution over the first `pixels` (a multiple of 4) of its tables. */
  convolve(convolution: Convolution, pixels: number): void;
}

const PAGE = 65_536;

/** A kernel in WebAssembly where the platform has SIMD and lets it be compiled, else in JavaScript, about 15 times slower. */
export function createKernel(kind: "auto" | "wasm" | "javascript" = "auto"): Kernel {
  if (kind === "javascript") return createScriptKernel();
  try {
    return createWasmKernel();
  } catch (error) {
    // A page's security policy may forbid WebAssembly; the numbers are the same either way.
    if (kind === "auto") return createScriptKernel();
    throw error;
  }
}

function createWasmKernel(): Kernel {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const bytes = Uint8Array.from(atob(CONVOLVE_WASM), (letter) => letter.charCodeAt(0));
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  const run = instance.exports["convolve"] as (...numbers: number[]) => void;
  let used = 0;
  return {
    kind: "wasm",
    allocate: (size) => {
      const address = used;
      used = align(used + size);
      const missing = used - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
      return address;
    },
    floats: () => new Float32Array(memory.buffer),
    integers: () => new Int32Array(memory.buffer),
    convolve: (c, pixels) => run(pixels, c.taps, c.channels, c.outputs, c.rows, c.outs, c.weights, c.bias, c.mode),
  };
}

function createScriptKernel(): Kernel {
  let buffer = new ArrayBuffer(PAGE);
  let used = 0;
  return {
    kind: "javascript",
    allocate: (size) => {
      const address = used;
      used = align(used + size);
      if (used > buffer.byteLength) {
        const larger = new ArrayBuffer(Math.max(used, buffer.byteLength * 2));
        new Uint8Array(larger).set(new Uint8Array(buffer));
        buffer = larger;
      }
      return address;
    },
    floats: () => new Float32Array(buffer),
    integers: () => new Int32Array(buffer),
    convolve: (c, pixels) => convolveInScript(new Float32Array(buffer), new Int32Array(buffer), c, pixels),
  };
}

function align(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}

function convolveInScript(floats: Float32Array, integers: Int32Array, c: Convolution, pixels: number): void {
  const finish = (sum: number, at: number): void => {
    const whole = c.mode & RESIDUAL ? sum + floats[at]! : sum;
    floats[at] = c.mode & RELU ? Math.max(whole, 0) : whole;
  };
  for (let n = 0; n < c.outputs; n += 4) {
    // Half a block of eight: more sums than four do not fit into the registers.
    const first = c.weights / 4 + (n - (n % 8)) * c.taps * c.channels + (n % 8);
    const bias = c.bias / 4 + n;
    for (let p = 0; p < pixels; p++) {
      let [s0, s1, s2, s3] = [floats[bias]!, floats[bias + 1]!, floats[bias + 2]!, floats[bias + 3]!];
      for (let t = 0, w = first; t < c.taps; t++) {
        const row = integers[c.rows / 4 + p * c.taps + t]! / 4;
        for (let at = row; at < row + c.channels; at++, w += 8) {
          const x = floats[at]!;
          s0 += x * floats[w]!;
          s1 += x * floats[w + 1]!;
          s2 += x * floats[w + 2]!;
          s3 += x * floats[w + 3]!;
        }
      }
      const out = integers[c.outs / 4 + p]! / 4 + n;
      finish(s0, out);
      finish(s1, out + 1);
      finish(s2, out + 2);
      finish(s3, out + 3);
    }
  }
}
