/** What both pages are asked, as JSON. */
export interface Asked {
  /** Where the model lies, ends with a slash. */
  readonly model: string;
  readonly dtype: string;
  readonly inputIds: readonly number[];
  readonly imageSize: number;
}

/** One request: milliseconds from the call to the first token, and from each token to the next. */
export interface Answered {
  readonly prefill: number;
  readonly steps: readonly number[];
  readonly ids: readonly number[];
}

/** What a page tells of itself. */
export interface Told {
  /** Bytes of all WebAssembly memories. */
  readonly wasmBytes: number;
  /** Bytes that were read back from the GPU over all requests. */
  readonly readBytes: number;
  readonly adapter: string;
}

declare global {
  interface Window {
    /** Loads; afterwards `once` may be called. */
    load(asked: Asked): Promise<void>;
    /** One request for at most so many tokens. */
    once(tokens: number): Promise<Answered>;
    tell(): Promise<Told>;
    /** Put there before the page's own scripts: sees every WebAssembly memory and every mapped buffer. */
    seen: { memories: WebAssembly.Memory[]; mapped: number };
  }
}

/** The same picture for both: [1, 3, size, size] in −1 … 1. */
export function pixels(size: number): Float32Array {
  return Float32Array.from({ length: 3 * size * size }, (_, i) => Math.sin(i * 0.37) * 0.9);
}

window.tell = async () => {
  const adapter = await navigator.gpu.requestAdapter();
  return {
    wasmBytes: window.seen.memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0),
    readBytes: window.seen.mapped,
    adapter: `${adapter?.info.vendor} ${adapter?.info.architecture}`,
  };
};
