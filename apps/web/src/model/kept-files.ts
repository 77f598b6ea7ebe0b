import { isPaliGemmaError, type OnProgress } from "@paligemma/core";
import type { ByteSource, ModelFiles } from "@paligemma/weights";
import { openStore, type BlockStore } from "./block-store.ts";

/** Bytes of one kept block: big enough for the network, small enough to be worth keeping when a download stops. */
export const BLOCK_BYTES: number = 8 * 2 ** 20;

/**
 * `files`, whose bytes are kept in the browser's private file system as they are read, block by block: what was read once
 * is not downloaded again, and a download that stopped goes on where it was. Where the browser has no room, they are read
 * each time, and `onProgress` says so.
 */
export async function keptFiles(files: ModelFiles, onProgress: OnProgress): Promise<ModelFiles> {
  const opened = new Map<string, Promise<ByteSource>>();
  return {
    name: files.name,
    paths: files.paths,
    open(path, signal) {
      let source = opened.get(path);
      if (!source) {
        source = files.open(path, signal).then((remote) => keptSource(remote, files.name, path, onProgress));
        source.catch(() => opened.delete(path));
        opened.set(path, source);
      }
      return source;
    },
  };
}

async function keptSource(
  remote: ByteSource,
  model: string,
  path: string,
  onProgress: OnProgress,
): Promise<ByteSource> {
  let store: BlockStore | undefined = await openStore(`${model}/${path}`, remote.size, BLOCK_BYTES);
  async function block(index: number, signal?: AbortSignal): Promise<Uint8Array> {
    const kept = await store?.read(index);
    if (kept) return kept;
    const start = index * BLOCK_BYTES;
    const bytes = await remote.read(start, Math.min(start + BLOCK_BYTES, remote.size), signal);
    try {
      await store?.write(index, bytes);
    } catch (error) {
      if (!isPaliGemmaError(error, "web/quota")) throw error;
      onProgress({
        task: "the browser has no room to keep this model; it will be downloaded again next time",
        done: 0,
        unit: "items",
      });
      store = undefined;
    }
    return bytes;
  }
  return {
    name: remote.name,
    size: remote.size,
    async read(start, end, signal) {
      // Configurations are read whole and small: they come from the source itself, which checks the range.
      if (start < 0 || end > remote.size || start >= end) return await remote.read(start, end, signal);
      const out = new Uint8Array(end - start);
      for (let index = Math.floor(start / BLOCK_BYTES); index * BLOCK_BYTES < end; index++) {
        signal?.throwIfAborted();
        const bytes = await block(index, signal);
        const base = index * BLOCK_BYTES;
        const [from, to] = [Math.max(start, base), Math.min(end, base + bytes.length)];
        out.set(bytes.subarray(from - base, to - base), from - start);
      }
      return out;
    },
  };
}
