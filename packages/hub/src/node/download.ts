import { mkdir, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import { withLock } from "@paligemma/weights/node";
import type { HubClient } from "../client.ts";
import { fetchPieces, missingBytes, type Gate } from "../pieces.ts";
import type { RepositoryFile } from "../repository.ts";
import type { CachedRepository } from "./cache.ts";
import { openPartial } from "./partial-file.ts";

/** What downloads of one repository share. */
export interface Downloads {
  readonly client: HubClient;
  readonly cached: CachedRepository;
  readonly commit: string;
  readonly gate: Gate;
  readonly pieceBytes: number;
  readonly onProgress?: OnProgress;
}

/** Makes a file be in the snapshot: by a link to a blob that is there, or by downloading it, unless another process does. */
export async function provide(downloads: Downloads, file: RepositoryFile, signal?: AbortSignal): Promise<void> {
  const { cached, commit } = downloads;
  if (await cached.hasFile(commit, file)) return;
  await withLock(cached.lockPath(file), signal, async (held) => {
    if (!(await cached.hasBlob(file))) await download(downloads, file, held);
    await cached.place(commit, file);
  });
}

async function download(
  { client, cached, commit, gate, pieceBytes, onProgress }: Downloads,
  file: RepositoryFile,
  signal: AbortSignal,
): Promise<void> {
  const path = cached.blobPath(file);
  await mkdir(dirname(path), { recursive: true });
  const task = `download ${file.path}`;
  // Wrong bytes are thrown away and asked for once more: they may come from a mirror that had a bad moment.
  for (const last of [false, true]) {
    await using partial = await openPartial(path, file, pieceBytes);
    await checkSpace(dirname(path), file, missingBytes(file, partial));
    await fetchPieces(client, file, partial, {
      commit,
      gate,
      signal,
      onBytes: (done) => onProgress?.({ task, done, total: file.size, unit: "bytes" }),
    });
    if (await partial.finish(signal)) return;
    if (last)
      throw new PaliGemmaError(
        "hub/corrupt",
        `${file.path} of ${client.repository.id} arrived twice with another ${file.hash.kind} than ${file.hash.hex}; nothing of it was kept. Is a proxy or a mirror changing files?`,
      );
  }
}

async function checkSpace(folder: string, file: RepositoryFile, missing: number): Promise<void> {
  const disk = await statfs(folder).catch(() => undefined);
  const free = disk && disk.bavail * disk.bsize;
  if (free === undefined || free >= missing) return;
  throw new PaliGemmaError(
    "hub/disk",
    `${file.path} needs ${missing} bytes more and ${folder} has ${free} left; make room, or set HF_HOME to a larger drive`,
  );
}
