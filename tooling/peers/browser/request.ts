/** What both pages are asked, as JSON. */
export interface Asked {
  /** Where the model lies, ends with a slash. */
  readonly model: string;
  readonly dtype: string;
  readonly inputIds: readonly number[];
  readonly imageSize: number;
  readonly tokens: number;
  /** Requests after the first. */
  readonly again: number;
}

/** One request: milliseconds from the call to the first token, and from each token to the next. */
export interface Answered {
  readonly prefill: number;
  readonly steps: readonly number[];
  readonly ids: readonly number[];
}

/** What a page tells. */
export interface Told {
  /** Milliseconds until the model could be asked, the runtime's start included. */
  readonly load: number;
  /** The first request compiles the shaders. */
  readonly first: Answered;
  readonly later: readonly Answered[];
  /** Bytes of all WebAssembly memories. */
  readonly wasmBytes: number;
  /** Bytes that were read back from the GPU over all requests. */
  readonly readBytes: number;
  /** Which adapter, and with which features. */
  readonly adapter: string;
}

declare global {
  interface Window {
    ask(asked: Asked): Promise<Told>;
    /** Put there before the page's own scripts: sees every WebAssembly memory and every mapped buffer. */
    seen: { memories: WebAssembly.Memory[]; mapped: number };
  }
}

/** The same picture for both: [1, 3, size, size] in −1 … 1. */
export function pixels(size: number): Float32Array {
  return Float32Array.from({ length: 3 * size * size }, (_, i) => Math.sin(i * 0.37) * 0.9);
}

export async function tell(load: number, again: number, once: () => Promise<Answered>): Promise<Told> {
  const first = await once();
  const later: Answered[] = [];
  for (let i = 0; i < again; i++) later.push(await once());
  const adapter = await navigator.gpu.requestAdapter();
  return {
    load,
    first,
    later,
    wasmBytes: window.seen.memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0),
    readBytes: window.seen.mapped,
    adapter: `${adapter?.info.vendor} ${adapter?.info.architecture}`,
  };
}
