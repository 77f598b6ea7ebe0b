import { Worker } from "node:worker_threads";
import { PaliGemmaError } from "@paligemma/core";
import {
  BUSY,
  PROTOCOL,
  STOP,
  type Flags,
  type Greeting,
  type Reply,
  type Request,
  type WorkerData,
} from "./protocol.ts";

/** Characters of the runtime's own words that a message repeats; they may list a whole graph. All of them are the `cause`. */
const MESSAGE_LENGTH = 600;

interface Pending {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
  /** Takes replies that others follow. */
  readonly part: (reply: Reply) => void;
  /** For messages: "compile siglip". */
  readonly what: string;
}

/** The caller's end of the worker: sends requests, matches replies, and knows when the worker is gone. */
export class WorkerLink {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #gone: Promise<void>;
  #next = 1;
  #end: PaliGemmaError | undefined;

  private constructor(worker: Worker, gone: Promise<void>, flags: Flags) {
    this.#worker = worker;
    this.#gone = gone;
    const calm = (): void => letFinish(flags);
    process.on("exit", calm);
    void gone.then(() => process.off("exit", calm));
    worker.on("message", (reply: Reply) => this.#receive(reply));
    worker.on("error", (error) =>
      this.#fail(
        new PaliGemmaError("backend/worker", `the worker of onnxruntime-node crashed: ${error.message}`, {
          cause: error,
        }),
      ),
    );
    worker.on("exit", (code) =>
      this.#fail(
        new PaliGemmaError(
          "backend/worker",
          `the worker of onnxruntime-node ended with code ${code}; make a new backend`,
        ),
      ),
    );
  }

  /**
   * Starts the worker at `url`, whose own work is spread over so many threads, and waits until the runtime is loaded. Resolves to the link
   * and the runtime's version.
   */
  static async start(url: URL, threads: number): Promise<{ readonly link: WorkerLink; readonly version: string }> {
    const flags: Flags = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
    const workerData: WorkerData = { flags, threads };
    // No flags of the caller's: loaders and conditions of a development run are not for the built worker.
    const worker = new Worker(url, { execArgv: [], name: "onnxruntime-node", workerData });
    const gone = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    const greeting = await new Promise<Greeting>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      worker.once("exit", (code) => reject(new Error(`the worker ended with code ${code} before it said anything`)));
    }).catch((error: unknown) => {
      throw new PaliGemmaError(
        "backend/unavailable",
        `the worker of onnxruntime-node did not start: ${String(error)}`,
        { cause: error },
      );
    });
    if (greeting.kind === "broken") {
      await worker.terminate();
      throw new PaliGemmaError(
        "backend/unavailable",
        `onnxruntime-node has no runtime for ${process.platform} ${process.arch}, or it does not load: ${greeting.text}. Linux (x64, arm64), macOS (arm64) and Windows (x64, arm64) are served`,
        { cause: new Error(greeting.text) },
      );
    }
    if (greeting.protocol !== PROTOCOL) {
      await worker.terminate();
      throw new PaliGemmaError(
        "backend/unavailable",
        `the built worker speaks protocol ${greeting.protocol}, the sources ${PROTOCOL}; build @paligemma/backend-node again (tsc -b)`,
      );
    }
    worker.unref();
    return { link: new WorkerLink(worker, gone, flags), version: greeting.version };
  }

  /** True once the backend was disposed or the worker is gone. */
  get closed(): boolean {
    return this.#end !== undefined;
  }

  /** Throws `backend/disposed`, or what ended the worker. */
  mustBeOpen(): void {
    if (this.#end) throw this.#end;
  }

  /** A number that no other request, session or tensor of this link has. */
  fresh(): number {
    return this.#next++;
  }

  /** Sends what is not answered; nothing happens when the worker is gone. */
  post(request: Request): void {
    if (!this.closed) this.#worker.postMessage(request);
  }

  /**
   * Sends a request and resolves to its reply. An aborted `signal` rejects at once with its reason: the request is dropped
   * if it has not begun, else its reply is passed over. What it may have made is for the caller to free. `onPart` takes the
   * replies before the last.
   */
  ask(
    request: Request & { readonly id: number },
    what: string,
    options: {
      readonly move?: readonly ArrayBuffer[];
      readonly signal?: AbortSignal | undefined;
      readonly onPart?: (reply: Reply) => void;
    } = {},
  ): Promise<Reply> {
    const { move = [], signal, onPart: part = ignore } = options;
    this.mustBeOpen();
    return new Promise<Reply>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const { id } = request;
      const abort = (): void => {
        this.#passOver(id, what);
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      const settle =
        <T>(act: (value: T) => void) =>
        (value: T): void => {
          signal?.removeEventListener("abort", abort);
          act(value);
        };
      if (this.#pending.size === 0) this.#worker.ref();
      this.#pending.set(id, { resolve: settle(resolve), reject: settle(reject), part, what });
      this.#worker.postMessage(request, move);
    });
  }

  /** Ends a request that is asked no more: resolves what waits for it, and passes over what still comes. */
  cancel(id: number): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    pending.resolve({ kind: "dropped", id });
    this.#passOver(id, pending.what);
  }

  #passOver(id: number, what: string): void {
    this.#pending.set(id, { resolve: ignore, reject: ignore, part: ignore, what });
    this.post({ kind: "cancel", id });
  }

  #receive(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    if (!pending) return;
    if (reply.kind === "ran" && reply.more) {
      pending.part(reply);
      return;
    }
    this.#pending.delete(reply.id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (reply.kind !== "failed") {
      pending.resolve(reply);
      return;
    }
    const { code, text } = reply.fault;
    pending.reject(
      new PaliGemmaError(code, `${pending.what}: ${text.slice(0, MESSAGE_LENGTH)}`, { cause: new Error(text) }),
    );
  }

  #fail(error: PaliGemmaError): void {
    this.#end ??= error;
    for (const { reject } of this.#pending.values()) reject(this.#end);
    this.#pending.clear();
  }

  /** Rejects what waits with `backend/disposed`, and resolves when the worker is gone. A run that has begun is waited for. */
  async close(): Promise<void> {
    if (!this.closed) {
      this.#worker.ref();
      this.#worker.postMessage({ kind: "close" });
      this.#fail(new PaliGemmaError("backend/disposed", "the backend was disposed; make a new one"));
    }
    await this.#gone;
  }
}

function ignore(): void {}

/**
 * Blocks until the worker has finished what it is at, and keeps it from beginning anything else: a process that ends while
 * the runtime works would be aborted, and its exit code lost.
 */
function letFinish(flags: Flags): void {
  Atomics.store(flags, STOP, 1);
  while (Atomics.load(flags, BUSY) === 1) Atomics.wait(flags, BUSY, 1);
}
