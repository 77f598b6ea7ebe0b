import { open, type FileHandle } from "node:fs/promises";

/** A file that only grows, from a length that is known to be right. */
export interface AppendFile extends AsyncDisposable {
  /** Bytes written so far. */
  readonly length: number;
  append(text: string): Promise<void>;
  /** Returns when everything written is on the disk. */
  sync(): Promise<void>;
}

/** Opens a file to go on after its first `length` bytes; what a killed run left behind them is cut off. */
export async function openAppendFile(path: string, length: number): Promise<AppendFile> {
  const handle: FileHandle = await open(path, length === 0 ? "w" : "r+");
  await handle.truncate(length);
  let at = length;
  return {
    get length() {
      return at;
    },
    async append(text) {
      const bytes = Buffer.from(text);
      await handle.write(bytes, 0, bytes.length, at);
      at += bytes.length;
    },
    sync: () => handle.sync(),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}
