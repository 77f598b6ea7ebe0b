import { createHash } from "node:crypto";
import { open, readFile, rename, rm, type FileHandle } from "node:fs/promises";
import { PaliGemmaError } from "@paligemma/core";
import type { Sink } from "../pieces.ts";
import type { RepositoryFile } from "../repository.ts";

/**
 * A file that is arriving: its bytes in `<path>.partial`, and in `<path>.pieces` one line for each piece that is there. A process
 * that is killed leaves both, and the next goes on. A line is written after its bytes; should a machine lose power in
 * between, the hash of the whole tells.
 */
export interface PartialFile extends Sink, AsyncDisposable {
  /** Gives the file its name if its hash is right; else throws it away and returns false. */
  finish(signal?: AbortSignal): Promise<boolean>;
}

/** Opens what is there of a file, or begins it. Only one process at a time may. */
export async function openPartial(path: string, file: RepositoryFile, pieceBytes: number): Promise<PartialFile> {
  const bytesPath = `${path}.partial`;
  const piecesPath = `${path}.pieces`;
  const header = `${file.size} ${pieceBytes}`;
  const present = await readPieces(piecesPath, header);
  if (!present) await rm(bytesPath, { force: true });
  const bytes = await open(bytesPath, present ? "r+" : "w+").catch(() => open(bytesPath, "w+"));
  const known = (await bytes.stat()).size === 0 ? new Set<number>() : (present ?? new Set<number>());
  const lines = await open(piecesPath, known.size > 0 ? "a" : "w");
  // On going on, a line of its own ends one that a kill may have torn.
  await lines.appendFile(known.size === 0 ? `${header}\n` : "\n");
  return {
    pieceBytes,
    has: (piece) => known.has(piece),
    write: (chunk, at) => onDisk(bytesPath, () => writeAll(bytes, chunk, at)),
    keep: (piece) => {
      known.add(piece);
      return onDisk(piecesPath, () => lines.appendFile(`${piece};\n`));
    },
    finish: async (signal) => {
      await bytes.truncate(file.size);
      const right = (await hashOf(bytes, file, signal)) === file.hash.hex;
      if (right) {
        await bytes.sync();
        await rename(bytesPath, path);
      } else await rm(bytesPath, { force: true });
      await rm(piecesPath, { force: true });
      return right;
    },
    [Symbol.asyncDispose]: async () => {
      await bytes.close();
      await lines.close();
    },
  };
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < chunk.byteLength;) {
    done += (await handle.write(chunk, done, chunk.byteLength - done, at + done)).bytesWritten;
  }
}

/** A failure to write is no failure of the network, and trying again does not cure it. */
async function onDisk(path: string, write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : "";
    throw new PaliGemmaError(
      "hub/disk",
      `cannot write ${path}: ${reason}; make room, or set HF_HOME to another drive`,
      { cause },
    );
  }
}

/** Pieces of a journal that was begun for this file. A torn line lacks its end: half a number is another number. */
async function readPieces(path: string, header: string): Promise<Set<number> | undefined> {
  const [first, ...lines] = (await readFile(path, "utf8").catch(() => "")).split("\n");
  return first === header
    ? new Set(lines.filter((line) => /^\d+;$/.test(line)).map((line) => Number(line.slice(0, -1))))
    : undefined;
}

/** The hash that the Hub gives for a file, of the bytes in a handle. */
async function hashOf(handle: FileHandle, { size, hash }: RepositoryFile, signal?: AbortSignal): Promise<string> {
  const hasher = createHash(hash.kind === "sha256" ? "sha256" : "sha1");
  if (hash.kind === "git-sha1") hasher.update(`blob ${size}\0`);
  const buffer = new Uint8Array(Math.min(size, 1_048_576));
  for (let at = 0; at < size;) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.byteLength, size - at), at);
    if (bytesRead === 0) return "";
    hasher.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return hasher.digest("hex");
}
