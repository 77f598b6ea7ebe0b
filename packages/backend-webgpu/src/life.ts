import type { PaliGemmaError } from "@paligemma/core";

/** The life of a backend: what waits on one that ends is told so, instead of waiting forever. */
export class Life {
  #over: PaliGemmaError | undefined;
  readonly #waiting = new Set<(error: PaliGemmaError) => void>();

  /** Why it is over, if it is. */
  get over(): PaliGemmaError | undefined {
    return this.#over;
  }

  /** Throws once it is over. */
  check(): void {
    if (this.#over) throw this.#over;
  }

  /** Ends everything that waits with `error`; the first one counts. */
  end(error: PaliGemmaError): void {
    if (this.#over) return;
    this.#over = error;
    for (const reject of this.#waiting) reject(error);
    this.#waiting.clear();
  }

  /** What `work` gives, or the end, whichever is first. */
  guard<T>(work: Promise<T>): Promise<T> {
    if (this.#over) {
      void work.catch(() => undefined);
      return Promise.reject(this.#over);
    }
    return new Promise<T>((resolve, reject) => {
      this.#waiting.add(reject);
      work.then(resolve, (error: unknown) => reject(this.#over ?? error)).finally(() => this.#waiting.delete(reject));
    });
  }
}
