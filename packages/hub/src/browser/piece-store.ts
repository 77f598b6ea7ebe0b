import { sha1 } from "@noble/hashes/legacy.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { PaliGemmaError } from "@paligemma/core";
import { blobSource, joinSources, type ByteSource } from "@paligemma/weights";
import type { Sink } from "../pieces.ts";
import type { RepositoryFile } from "../repository.ts";

/**
 * One file of a repository in the browser's own file system, a file per piece: writing one is atomic there, so a tab that is closed
 * leaves whole pieces, and the next goes on. A marker is written when the hash of all of them was right.
 */
export interface PieceStore extends Sink {
  /** True where the whole file is there and was verified. */
  isComplete(): Promise<boolean>;
  /** Compares the hash; marks the file as complete, or throws everything away and returns false. */
  finish(signal?: AbortSignal): Promise<boolean>;
  /** The file, read piece by piece. */
  source(): Promise<ByteSource>;
}

const COMPLETE = "complete";

/** The store of a file in `folder`, in which every hash has a folder of its own. */
export async function openPieceStore(
  folder: FileSystemDirectoryHandle,
  file: RepositoryFile,
  pieceBytes: number,
): Promise<PieceStore> {
  const { hex } = file.hash;
  // Another size of pieces is another folder: what is there under the old one stays valid for those who ask for it.
  const name = `${hex}.${pieceBytes}`;
  const pieces = await folder.getDirectoryHandle(name, { create: true });
  const count = Math.ceil(file.size / pieceBytes);
  const lengthOf = (piece: number): number => Math.min(pieceBytes, file.size - piece * pieceBytes);
  const known = new Set<number>();
  for (let piece = 0; piece < count; piece++) {
    if ((await sizeOf(pieces, String(piece))) === lengthOf(piece)) known.add(piece);
  }
  const arriving = new Map<number, Uint8Array<ArrayBuffer>>();

  async function source(): Promise<ByteSource> {
    const parts: ByteSource[] = [];
    for (let piece = 0; piece < count; piece++) {
      const part = await (await pieces.getFileHandle(String(piece))).getFile();
      parts.push(blobSource(part, `${file.path} (piece ${piece})`));
    }
    return joinSources(parts, file.path);
  }

  return {
    pieceBytes,
    has: (piece) => known.has(piece),
    write: async (bytes, at) => {
      const piece = Math.floor(at / pieceBytes);
      const whole = arriving.get(piece) ?? new Uint8Array(lengthOf(piece));
      arriving.set(piece, whole);
      whole.set(bytes, at - piece * pieceBytes);
    },
    keep: async (piece) => {
      const whole = arriving.get(piece);
      arriving.delete(piece);
      if (whole) await write(pieces, String(piece), whole);
      known.add(piece);
    },
    isComplete: async () => known.size === count && (await sizeOf(pieces, COMPLETE)) !== undefined,
    finish: async (signal) => {
      const hasher = (file.hash.kind === "sha256" ? sha256 : sha1).create();
      if (file.hash.kind === "git-sha1") hasher.update(utf8ToBytes(`blob ${file.size}\0`));
      const whole = await source();
      for (let at = 0; at < file.size; at += pieceBytes)
        hasher.update(await whole.read(at, Math.min(file.size, at + pieceBytes), signal));
      const right = bytesToHex(hasher.digest()) === hex;
      if (right) await write(pieces, COMPLETE, new Uint8Array(1));
      else {
        known.clear();
        await folder.removeEntry(name, { recursive: true });
      }
      return right;
    },
    source,
  };
}

async function sizeOf(folder: FileSystemDirectoryHandle, name: string): Promise<number | undefined> {
  try {
    return (await (await folder.getFileHandle(name)).getFile()).size;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Writes a file whole: it has its name and its bytes when the stream was closed, and not before. */
export async function write(
  folder: FileSystemDirectoryHandle,
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  try {
    const stream = await (await folder.getFileHandle(name, { create: true })).createWritable();
    await stream.write(bytes);
    await stream.close();
  } catch (cause) {
    const full = cause instanceof DOMException && cause.name === "QuotaExceededError";
    const why = full
      ? "the browser gives this page no more room; free some, or ask for persistent storage"
      : cause instanceof Error
        ? cause.message
        : "";
    throw new PaliGemmaError("hub/disk", `cannot keep a downloaded file: ${why}`, { cause });
  }
}

/** True for the error of a file or folder that is not there. */
export function isNotFound(error: unknown): boolean {
  return error instanceof DOMException && error.name === "NotFoundError";
}
