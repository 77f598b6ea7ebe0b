import { open, realpath, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { PaliGemmaError } from "@paligemma/core";
import type { ByteSource } from "../byte-source.ts";
import { LIMITS } from "../limits.ts";
import { checkRange } from "../sources.ts";

/**
 * A file of this machine (a path or a file: URL), read at positions. It is opened for each read and closed after it, so a source holds nothing and
 * needs no disposal; `weights/changed` tells when the file was replaced or written to since. Throws `weights/no-file`.
 */
export async function fileSource(from: string | URL): Promise<ByteSource> {
  const file = from instanceof URL ? fileURLToPath(from) : from;
  let path: string;
  try {
    path = await realpath(file);
  } catch (cause) {
    throw new PaliGemmaError("weights/no-file", `${file} is not there or not readable`, { cause });
  }
  const first = await state(path);
  const source: ByteSource = {
    name: file,
    path,
    size: first.size,
    read: async (start, end, signal) => {
      checkRange(source, start, end);
      signal?.throwIfAborted();
      await using handle = await open(path);
      const now = await handle.stat();
      if (now.size !== first.size || now.mtimeMs !== first.time || now.ino !== first.inode) {
        throw new PaliGemmaError(
          "weights/changed",
          `${file} was replaced or written to since it was opened; open it again`,
        );
      }
      const bytes = new Uint8Array(end - start);
      // One call reads at most 2 GiB; pieces also let an abort through.
      for (let at = 0; at < bytes.byteLength;) {
        signal?.throwIfAborted();
        const length = Math.min(LIMITS.pieceBytes, bytes.byteLength - at);
        const { bytesRead } = await handle.read(bytes, at, length, start + at);
        if (bytesRead === 0)
          throw new PaliGemmaError(
            "weights/truncated",
            `${file} ends at byte ${start + at}, it had ${first.size} bytes`,
          );
        at += bytesRead;
      }
      return bytes;
    },
  };
  return source;
}

async function state(path: string): Promise<{ readonly size: number; readonly time: number; readonly inode: number }> {
  const found = await stat(path);
  if (!found.isFile()) throw new PaliGemmaError("weights/no-file", `${path} is a folder or a device, not a file`);
  return { size: found.size, time: found.mtimeMs, inode: found.ino };
}
