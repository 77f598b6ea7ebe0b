/**
 * Bytes that can be read by ranges: a file, a Blob, a URL, memory. Nothing is read before it is asked for.
 */
export interface ByteSource {
  /** For messages: a path, a URL, or "memory". */
  readonly name: string;
  /** Total number of bytes. */
  readonly size: number;
  /** Absolute path with links resolved, where the bytes are a file of this machine: a runtime may map it. */
  readonly path?: string;
  /** Bytes `[start, end)`; throws `weights/range` outside `[0, size]`. The caller owns the result. */
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
}
