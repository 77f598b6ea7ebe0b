import type { ByteSource } from "./byte-source.ts";

/** The files of one model, wherever they lie: a folder, a repository of the Hub, files a person dropped on a page. */
export interface ModelFiles {
  /** For messages: a path, "owner/name@revision". */
  readonly name: string;
  /** Paths of all files, relative to the root, with "/". */
  readonly paths: ReadonlySet<string>;
  /** The bytes of one file; throws `weights/no-file` for a path that is not there, with the nearest one that is. */
  open(path: string, signal?: AbortSignal): Promise<ByteSource>;
}
