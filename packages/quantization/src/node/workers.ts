import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { PaliGemmaError } from "@paligemma/core";
import type { Odd } from "../numbers.ts";
import type { QuantizedRows, RowsJob } from "../rows.ts";
import { PROTOCOL, type Reply, type Request } from "./protocol.ts";

/** One thread that quantises. */
interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void }>;
}

/** Threads that quantise rows. Whoever started them disposes them. */
export class QuantizingThreads implements AsyncDisposable {
  readonly #threads: readonly Thread[];
  #next = 1;

  private constructor(threads: readonly Thread[]) {
    this.#threads = threads;
  }

  /** Starts `count` threads. Throws `quantization/worker` where one does not start. */
  static async start(count: number): Promise<QuantizingThreads> {
    const url = workerUrl();
    const threads = Array.from({ length: count }, (): Thread => ({
      // No flags of the caller's: loaders and conditions of a development run are not for the built worker.
      worker: new Worker(url, { execArgv: [], name: "quantize" }),
      waiting: new Map(),
    }));
    const started = new QuantizingThreads(threads);
    try {
      await Promise.all(threads.map(ready));
    } catch (error) {
      await started[Symbol.asyncDispose]();
      throw error;
    }
    return started;
  }

  /** Quantises rows in thread `thread`, counted from 0. `job.bytes` are moved there, not copied, where they have a buffer of their own. */
  async quantize(thread: number, job: RowsJob): Promise<QuantizedRows | { readonly odd: Odd }> {
    const { worker, waiting } = this.#threads[thread]!;
    const id = this.#next++;
    const alone = job.bytes.byteLength === job.bytes.buffer.byteLength;
    const reply = await new Promise<Reply>((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, ...job } satisfies Request, alone ? [job.bytes.buffer as ArrayBuffer] : []);
    });
    if ("fault" in reply)
      throw new PaliGemmaError("quantization/worker", `a thread that quantises failed: ${reply.fault}`);
    return reply;
  }

  /** Ends the threads, at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }
}

/** Waits for the greeting of a thread, and gives its messages to who waits for them from then on. */
async function ready({ worker, waiting }: Thread): Promise<void> {
  const protocol = await new Promise<unknown>((resolve, reject) => {
    const fail = (what: string, cause?: unknown): void => {
      const error = new PaliGemmaError("quantization/worker", `a thread that quantises ${what}`, { cause });
      reject(error);
      for (const { reject: end } of waiting.values()) end(error);
      waiting.clear();
    };
    worker.once("message", resolve);
    worker.on("error", (error) => fail(`crashed: ${error.message}`, error));
    worker.on("exit", (code) => fail(`ended with code ${code}`));
  });
  if (protocol !== PROTOCOL)
    throw new PaliGemmaError(
      "quantization/worker",
      `the built worker speaks protocol ${String(protocol)}, the sources ${PROTOCOL}; build @paligemma/quantization again (tsc -b)`,
    );
  worker.on("message", (reply: Reply) => {
    const asked = waiting.get(reply.id);
    waiting.delete(reply.id);
    asked?.resolve(reply);
  });
}

/** The built worker, also when this file is a source that something else translates: threads start from JavaScript only. */
function workerUrl(): URL {
  const url = new URL(import.meta.resolve("@paligemma/quantization/worker"));
  if (existsSync(fileURLToPath(url))) return url;
  throw new PaliGemmaError(
    "quantization/worker",
    `${fileURLToPath(url)} is missing: the worker has to be built first (npx tsc -b packages/quantization in the repository; an installed package brings it)`,
  );
}
