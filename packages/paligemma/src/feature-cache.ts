import type { Backend, Tensor } from "@paligemma/backend";
import { bytesFor, sizeOf, type NdArray } from "@paligemma/core";
import { contentKey } from "./content-key.ts";
import { Recent } from "./recent.ts";

/** Features of the pictures that were seen last, on the device. What it hands out are the very numbers that the encoder gave. */
export class FeatureCache implements Disposable {
  readonly #backend: Backend;
  readonly #recent: Recent<Tensor>;
  readonly #encoding = new Map<string, Promise<void>>();

  /** Keeps at most `limit` bytes; 0 keeps nothing. */
  constructor(backend: Backend, limit: number) {
    this.#backend = backend;
    this.#recent = new Recent(limit);
  }

  /**
   * Fills `into` with the features of a picture: by copying them where they are known, by `encode` where they are not. `variant`
   * stands for whatever else they depend on. A picture that is being encoded for another call is waited for.
   */
  async provide(
    pixels: NdArray<"float32">,
    variant: string,
    into: Tensor,
    encode: () => Promise<unknown>,
  ): Promise<void> {
    const bytes = bytesFor(into.dtype, sizeOf(into.shape));
    const key = this.#recent.fits(bytes) ? await contentKey([pixels], variant) : undefined;
    if (key === undefined) {
      await encode();
      return;
    }
    for (;;) {
      if (this.#recent.has(key)) return await this.#recent.use(key, (known) => this.#backend.copy(known, into));
      const other = this.#encoding.get(key);
      if (!other) break;
      // Should it fail, this call tries for itself.
      await other.catch(() => undefined);
    }
    const own = this.#encode(key, bytes, into, encode).finally(() => this.#encoding.delete(key));
    this.#encoding.set(key, own);
    await own;
  }

  async #encode(key: string, bytes: number, into: Tensor, encode: () => Promise<unknown>): Promise<void> {
    await encode();
    const copy = await this.#backend.allocate(into.dtype, into.shape);
    try {
      await this.#backend.copy(into, copy);
    } catch (error) {
      copy.dispose();
      throw error;
    }
    this.#recent.put(key, copy, bytes);
  }

  [Symbol.dispose](): void {
    this.#recent[Symbol.dispose]();
  }
}
