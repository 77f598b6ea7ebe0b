/** What a backend has done so far; counters only grow, `…Now` values go up and down. */
export interface BackendStats {
  /** GPU buffers created on the device, the runtime's own included. */
  readonly buffersCreated: number;
  /** Bytes of GPU buffers alive now, and at most. */
  readonly bufferBytesNow: number;
  readonly bufferBytesPeak: number;
  /** Bytes that were mapped for reading, the runtime's own reads included. */
  readonly bytesFromDevice: number;
  /** Bytes written to GPU buffers by this backend: feeds, uploads and weights. */
  readonly bytesToDevice: number;
  /** Runs of all sessions. */
  readonly runs: number;
  /** Bytes of weights that this backend held in JavaScript at once, at most. */
  readonly stagingBytesPeak: number;
  /** Size of the runtime's WebAssembly memory; it never shrinks, so this is its peak. */
  readonly wasmHeapBytes: number;
  /** Which build of the runtime was loaded: "jspi", "asyncify" or "wasm". */
  readonly runtime: string;
}
