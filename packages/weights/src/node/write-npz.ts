import { open, type FileHandle } from "node:fs/promises";
import { basename } from "node:path";
import { crc32 } from "node:zlib";
import type { OnProgress } from "@paligemma/core";
import type { TensorRef } from "../checkpoint.ts";
import { npyHeader } from "../npz/npy.ts";
import { endRecords, localHeader, type WrittenMember } from "../npz/zip-records.ts";
import { tensorPieces } from "../tensors.ts";
import { atomically } from "./atomically.ts";

/** How to write. */
export interface NpzOptions {
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Writes tensors as numpy's `.npz`, stored as `numpy.savez` does, one piece in memory at a time. bfloat16 becomes the "V2" that JAX
 * writes. The file appears under its name when it is complete and on the disk.
 */
export async function writeNpz(path: string, refs: Iterable<TensorRef>, options: NpzOptions = {}): Promise<void> {
  const tensors = [...refs];
  const total = tensors.reduce((sum, ref) => sum + ref.end - ref.start, 0);
  await atomically(path, async (temporary) => {
    await using file = await open(temporary, "wx");
    const members: WrittenMember[] = [];
    let at = 0;
    let done = 0;
    for (const ref of tensors) {
      const member = await writeMember(file, ref, at, options.signal, (bytes) => {
        done += bytes;
        options.onProgress?.({ task: `write ${basename(path)}`, done, total, unit: "bytes" });
      });
      members.push(member);
      at = member.end;
    }
    await writeAt(file, endRecords(members, at), at);
    await file.sync();
  });
}

/** Header, data, then the header again: the sum of the data is known only now. */
async function writeMember(
  file: FileHandle,
  ref: TensorRef,
  offset: number,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<WrittenMember> {
  const npy = npyHeader(ref.dtype, ref.shape);
  const member = { name: `${ref.name}.npy`, offset, size: npy.byteLength + ref.end - ref.start };
  const dataAt = offset + localHeader({ ...member, crc32: 0 }).byteLength;
  await writeAt(file, npy, dataAt);
  let sum = crc32(npy);
  let at = dataAt + npy.byteLength;
  for await (const piece of tensorPieces(ref, signal)) {
    signal?.throwIfAborted();
    sum = crc32(piece, sum);
    await writeAt(file, piece, at);
    at += piece.byteLength;
    onBytes(piece.byteLength);
  }
  await writeAt(file, localHeader({ ...member, crc32: sum }), offset);
  return { ...member, crc32: sum, end: at };
}

async function writeAt(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    done += (await file.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten;
  }
}
