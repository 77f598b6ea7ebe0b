/** A browser's private file system in memory, as far as the store uses it: handles, files, streams that count on closing. */
export class FakeFolder {
  readonly kind = "directory";
  readonly entries = new Map<string, FakeFolder | FakeFile>();
  /** Bytes that may still be written anywhere below. */
  readonly quota: { left: number };

  constructor(quota: { left: number } = { left: Number.POSITIVE_INFINITY }) {
    this.quota = quota;
  }

  async getDirectoryHandle(name: string, options: { readonly create?: boolean } = {}): Promise<FakeFolder> {
    return this.#entry(name, options, FakeFolder);
  }

  async getFileHandle(name: string, options: { readonly create?: boolean } = {}): Promise<FakeFile> {
    return this.#entry(name, options, FakeFile);
  }

  async removeEntry(name: string): Promise<void> {
    if (!this.entries.delete(name)) throw new DOMException("absent", "NotFoundError");
  }

  #entry<T extends FakeFolder | FakeFile>(
    name: string,
    { create = false }: { readonly create?: boolean },
    kind: new (quota: { left: number }) => T,
  ): T {
    if (name === "" || name === "." || name === ".." || /[/\\]/.test(name)) throw new TypeError(`"${name}" is no name`);
    const found = this.entries.get(name);
    if (found instanceof kind) return found;
    if (found) throw new DOMException("other kind", "TypeMismatchError");
    if (!create) throw new DOMException("absent", "NotFoundError");
    const made = new kind(this.quota);
    this.entries.set(name, made);
    return made;
  }
}

/** A file in it. */
export class FakeFile {
  readonly kind = "file";
  readonly quota: { left: number };
  content: Blob = new Blob([]);

  constructor(quota: { left: number }) {
    this.quota = quota;
  }

  async getFile(): Promise<Blob> {
    return this.content;
  }

  async createWritable(): Promise<{ write(bytes: Uint8Array<ArrayBuffer>): Promise<void>; close(): Promise<void> }> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    return {
      write: async (bytes) => {
        this.quota.left -= bytes.byteLength;
        if (this.quota.left < 0) throw new DOMException("full", "QuotaExceededError");
        parts.push(bytes.slice());
      },
      close: async () => {
        this.content = new Blob(parts);
      },
    };
  }
}
