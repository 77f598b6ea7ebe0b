import { PaliGemmaError } from "@paligemma/core";
import type { ByteSource } from "./byte-source.ts";

/** Throws `weights/range` unless `[start, end)` lies inside the source. Sources call it first. */
export function checkRange(source: Pick<ByteSource, "name" | "size">, start: number, end: number): void {
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end <= source.size)
    return;
  throw new PaliGemmaError(
    "weights/range",
    `bytes ${start} to ${end} of ${source.name}, which has bytes 0 to ${source.size}`,
  );
}

/** Bytes in memory. They are not copied until they are read: do not change them meanwhile. */
export function memorySource(bytes: Uint8Array, name = "memory"): ByteSource {
  const source: ByteSource = {
    name,
    size: bytes.byteLength,
    read: async (start, end, signal) => {
      checkRange(source, start, end);
      signal?.throwIfAborted();
      return bytes.slice(start, end);
    },
  };
  return source;
}

/** A `Blob` or a `File` that a person chose; read by slices. In Node use `fileSource`: its blobs of files are wrong above 4 GiB. */
export function blobSource(blob: Blob, name?: string): ByteSource {
  const source: ByteSource = {
    name: name ?? ("name" in blob && typeof blob.name === "string" ? blob.name : "blob"),
    size: blob.size,
    read: async (start, end, signal) => {
      checkRange(source, start, end);
      signal?.throwIfAborted();
      return new Uint8Array(await blob.slice(start, end).arrayBuffer());
    },
  };
  return source;
}

/** Bytes `[start, end)` of another source, counted from 0. Has no `path`: offsets in the file would differ. */
export function sliceSource(source: ByteSource, start: number, end: number): ByteSource {
  checkRange(source, start, end);
  const slice: ByteSource = {
    name: `${source.name} [${start}, ${end})`,
    size: end - start,
    read: async (from, to, signal) => {
      checkRange(slice, from, to);
      return source.read(start + from, start + to, signal);
    },
  };
  return slice;
}

/** Several sources one after the other as one, such as a file that was cut in parts. */
export function joinSources(parts: readonly ByteSource[], name?: string): ByteSource {
  const starts: number[] = [];
  let size = 0;
  for (const part of parts) {
    starts.push(size);
    size += part.size;
  }
  const joined: ByteSource = {
    name: name ?? parts.map((part) => part.name).join(" + "),
    size,
    read: async (start, end, signal) => {
      checkRange(joined, start, end);
      const bytes = new Uint8Array(end - start);
      for (const [i, part] of parts.entries()) {
        const from = Math.max(start, starts[i]!);
        const to = Math.min(end, starts[i]! + part.size);
        if (from < to) bytes.set(await part.read(from - starts[i]!, to - starts[i]!, signal), from - start);
      }
      return bytes;
    },
  };
  return joined;
}
