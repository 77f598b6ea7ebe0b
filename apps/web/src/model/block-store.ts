import { PaliGemmaError } from "@paligemma/core";

/** Blocks of one file, kept in the browser. Each has its own SHA-256 beside it: a damaged one is as if it were not there. */
export interface BlockStore {
  read(index: number): Promise<Uint8Array | undefined>;
  /** Throws `web/quota` where the browser has no room. */
  write(index: number, bytes: Uint8Array): Promise<void>;
}

/** Folder of the origin-private file system that holds all models. */
const FOLDER = "models";
const HASH_BYTES = 32;

/**
 * The store of the file called `name`, which includes the model's revision; undefined where the browser has none (a private
 * window). A file of another size under that name starts anew.
 */
export async function openStore(name: string, size: number, blockBytes: number): Promise<BlockStore | undefined> {
  const root = await navigator.storage?.getDirectory?.().catch(() => undefined);
  if (!root) return undefined;
  const models = await root.getDirectoryHandle(FOLDER, { create: true });
  const folder = await models.getDirectoryHandle(encodeURIComponent(`${name}@${size}@${blockBytes}`), { create: true });
  return {
    async read(index) {
      const handle = await folder.getFileHandle(String(index)).catch(() => undefined);
      if (!handle) return undefined;
      const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
      const block = bytes.subarray(HASH_BYTES);
      return sameBytes(await sha256(block), bytes.subarray(0, HASH_BYTES)) ? block : undefined;
    },
    async write(index, bytes) {
      try {
        const handle = await folder.getFileHandle(String(index), { create: true });
        const writable = await handle.createWritable();
        await writable.write(await sha256(bytes));
        await writable.write(bytes as Uint8Array<ArrayBuffer>);
        // Only a closed file is there: what was interrupted is as if it had not begun.
        await writable.close();
      } catch (cause) {
        if (!(cause instanceof DOMException) || cause.name !== "QuotaExceededError") throw cause;
        await folder.removeEntry(String(index)).catch(() => undefined);
        throw new PaliGemmaError("web/quota", `the browser has no room for ${name}`, { cause });
      }
    },
  };
}

/** Bytes of the models that are kept, and how many more the browser would keep. */
export async function keptBytes(): Promise<{ readonly used: number; readonly room: number }> {
  const { usage = 0, quota = 0 } = (await navigator.storage?.estimate?.()) ?? {};
  return { used: usage, room: Math.max(0, quota - usage) };
}

/** Forgets all kept models. */
export async function forgetModels(): Promise<void> {
  const root = await navigator.storage?.getDirectory?.().catch(() => undefined);
  await root?.removeEntry(FOLDER, { recursive: true }).catch(() => undefined);
}

async function sha256(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
