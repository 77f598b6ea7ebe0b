import type { ByteSource } from "@paligemma/weights";

/** A source and the number of bytes read from it so far. */
export function counting(
  source: ByteSource,
): ByteSource & { readonly read: ByteSource["read"]; bytesRead: number; reads: number } {
  const counted = {
    ...source,
    bytesRead: 0,
    reads: 0,
    read: async (start: number, end: number, signal?: AbortSignal) => {
      counted.bytesRead += end - start;
      counted.reads += 1;
      return source.read(start, end, signal);
    },
  };
  return counted;
}
