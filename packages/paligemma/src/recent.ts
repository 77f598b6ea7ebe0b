/** Something kept, what it takes, and how many are at it. */
interface Kept<T> {
  readonly value: T;
  readonly bytes: number;
  users: number;
  dropped: boolean;
}

/** Things by key, at most so many bytes of them: what was not used for the longest time is disposed first. */
export class Recent<T extends Disposable> implements Disposable {
  readonly limit: number;
  readonly #kept = new Map<string, Kept<T>>();
  #bytes = 0;
  #disposed = false;

  /** Holds `limit` bytes at most; 0 holds nothing. */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** True where something is kept under the key. */
  has(key: string): boolean {
    return this.#kept.has(key);
  }

  /** Lets `work` have what is kept under the key, which is now the latest; it is not disposed meanwhile. */
  async use<R>(key: string, work: (value: T) => Promise<R>): Promise<R> {
    const kept = this.#kept.get(key)!;
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    kept.users++;
    try {
      return await work(kept.value);
    } finally {
      kept.users--;
      if (kept.dropped && kept.users === 0) kept.value[Symbol.dispose]();
    }
  }

  /** True where something of that size can be kept at all. */
  fits(bytes: number): boolean {
    return bytes <= this.limit && !this.#disposed;
  }

  /** Keeps `value`, which is disposed here from now on; at once where it does not fit. */
  put(key: string, value: T, bytes: number): void {
    this.#drop(key);
    if (!this.fits(bytes)) {
      value[Symbol.dispose]();
      return;
    }
    this.#kept.set(key, { value, bytes, users: 0, dropped: false });
    this.#bytes += bytes;
    for (const old of this.#kept.keys()) {
      if (this.#bytes <= this.limit) break;
      this.#drop(old);
    }
  }

  #drop(key: string): void {
    const kept = this.#kept.get(key);
    if (!kept) return;
    this.#kept.delete(key);
    this.#bytes -= kept.bytes;
    kept.dropped = true;
    if (kept.users === 0) kept.value[Symbol.dispose]();
  }

  /** Lets go of everything, for good. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const key of this.#kept.keys()) this.#drop(key);
  }
}
