import { Worker } from "node:worker_threads";
import { buffersOf, type UnpackFault, type Unpacking } from "./unpacker.ts";

/** Matrices to be unpacked, whose arrays are moved. */
export interface UnpackRequest {
  readonly work: readonly Unpacking[];
}

/** The same, whose arrays come back, also where something went wrong. */
export interface UnpackReply extends UnpackRequest {
  readonly fault?: UnpackFault;
}

/** A thread that unpacks matrices. */
export class UnpackHelper {
  readonly #worker = new Worker(new URL("./unpack-worker.js", import.meta.url), { name: "unpacking" });
  #settle: { readonly resolve: (reply: UnpackReply) => void; readonly reject: (error: unknown) => void } | undefined;

  constructor() {
    this.#worker.on("message", (reply: UnpackReply) => this.#settle?.resolve(reply));
    this.#worker.on("error", (error) => this.#settle?.reject(error));
    this.#worker.on("exit", (code) =>
      this.#settle?.reject(new Error(`the thread that unpacks ended with code ${code}`)),
    );
    this.#worker.unref();
  }

  /** Unpacks; one call at a time. Resolves to the arrays, which are no longer those that were given. */
  async unpack(work: readonly Unpacking[]): Promise<UnpackReply> {
    this.#worker.ref();
    try {
      return await new Promise<UnpackReply>((resolve, reject) => {
        this.#settle = { resolve, reject };
        const request: UnpackRequest = { work };
        this.#worker.postMessage(request, buffersOf(work));
      });
    } finally {
      this.#settle = undefined;
      this.#worker.unref();
    }
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Matrices for so many threads, the largest first, each to the one that has least to do. */
export function sharedOut(work: readonly Unpacking[], threads: number): readonly (readonly Unpacking[])[] {
  const shares = Array.from({ length: threads }, () => ({ size: 0, work: [] as Unpacking[] }));
  for (const unpacking of work.toSorted((a, b) => b.panels.data.length - a.panels.data.length)) {
    const least = shares.reduce((a, b) => (b.size < a.size ? b : a));
    least.size += unpacking.panels.data.length;
    least.work.push(unpacking);
  }
  return shares.map((share) => share.work);
}
