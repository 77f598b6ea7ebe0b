import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import type { ByteSource } from "@paligemma/weights";
import { errorOf, faultOf, type Call, type FromWorker, type ToWorker } from "./protocol.ts";

/** The part of a `Worker` that is needed. */
export interface WorkerPort {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
  terminate(): void;
}

/** How long a worker may take to clean up before it is ended all the same: it may hang on a device that is gone. */
const PATIENCE_MS = 2000;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  readonly onProgress: OnProgress | undefined;
}

/** The page's end of the line to a worker: numbers calls, hands out answers, and reads files for the worker. */
export class Link {
  readonly #worker: WorkerPort;
  readonly #waiting = new Map<number, Waiting>();
  readonly #sources: ByteSource[] = [];
  #over: PaliGemmaError | undefined;
  #calls = 0;
  #tensors = 0;

  constructor(worker: WorkerPort) {
    this.#worker = worker;
    worker.addEventListener("message", ({ data }) => this.#receive(data as FromWorker));
    worker.addEventListener("error", ({ message }) => {
      this.#end(
        new PaliGemmaError(
          "backend/worker",
          `the worker failed: ${message || "its script could not be loaded"}. It must be a module worker whose script calls serveWebGpuWorker().`,
        ),
      );
    });
  }

  /** True once the worker is gone. */
  get closed(): boolean {
    return this.#over !== undefined;
  }

  /** A number that no tensor of this worker has yet. */
  tensorNumber(): number {
    return this.#tensors++;
  }

  /** The number under which the worker asks for bytes of `source`. */
  sourceNumber(source: ByteSource): number {
    const known = this.#sources.indexOf(source);
    return known >= 0 ? known : this.#sources.push(source) - 1;
  }

  /** What the worker answers. */
  call(
    call: Call,
    { onProgress, signal }: { readonly onProgress?: OnProgress; readonly signal?: AbortSignal } = {},
  ): Promise<unknown> {
    if (this.#over) return Promise.reject(this.#over);
    const id = this.#calls++;
    const abort = (): void => this.#post({ kind: "abort", id });
    signal?.addEventListener("abort", abort, { once: true });
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject, onProgress }));
    this.#post({ kind: "call", id, call });
    return answer.finally(() => signal?.removeEventListener("abort", abort));
  }

  /** Rejects everything that waits with `error`, makes a last call, and ends the worker. */
  async last(call: Call, error: PaliGemmaError): Promise<void> {
    if (this.#over) return;
    this.#rejectAll(error);
    const answer = this.call(call);
    this.#over = error;
    await Promise.race([answer.catch(() => undefined), new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
    this.#worker.terminate();
  }

  /** Lets the worker drop a tensor. */
  free(tensor: number): void {
    if (!this.#over) this.#post({ kind: "free", tensor });
  }

  /** Ends the worker at once. */
  close(): void {
    this.#end(new PaliGemmaError("backend/disposed", "the worker was ended; create a new backend"));
    this.#worker.terminate();
  }

  #receive(message: FromWorker): void {
    if (message.kind === "read") return void this.#read(message);
    const waiting = this.#waiting.get(message.id);
    if (message.kind === "progress") return waiting?.onProgress?.(message.progress);
    this.#waiting.delete(message.id);
    if (message.kind === "answer") waiting?.resolve(message.value);
    else waiting?.reject(errorOf(message.fault));
  }

  async #read({ read, source, start, end }: Extract<FromWorker, { kind: "read" }>): Promise<void> {
    try {
      const bytes = await this.#sources[source]!.read(start, end);
      // The worker gets the bytes themselves where they are all of their buffer, else a copy.
      const own = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
      this.#post({ kind: "bytes", read, bytes: own }, [own.buffer as ArrayBuffer]);
    } catch (error) {
      this.#post({ kind: "bytes", read, fault: faultOf(error) });
    }
  }

  #end(error: PaliGemmaError): void {
    this.#over ??= error;
    this.#rejectAll(error);
  }

  #rejectAll(error: PaliGemmaError): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }

  #post(message: ToWorker, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}
