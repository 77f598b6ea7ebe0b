import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { ndArray, PaliGemmaError, unknownKeys, type ErrorCode, type NdArray } from "@paligemma/core";
import type { DecodeImageOptions } from "../decode-options.ts";
import type { ImageLike } from "../image.ts";
import { parsePreprocessorConfig } from "../preprocessor-config.ts";
import type { WorkerAnswer, WorkerSettings } from "./image-worker.ts";
import type { ImageSource } from "./read-source.ts";

/** A picture ready for the model. */
export interface PreparedImage {
  /** float32 [channels, height, width]. */
  readonly pixelValues: NdArray<"float32">;
  /** Pixels of the original picture, turned upright: what boxes refer to. */
  readonly width: number;
  readonly height: number;
}

/** Threads that decode and prepare pictures while the caller's thread does something else. */
export interface ImagePool extends AsyncDisposable {
  /** One picture; errors are those of `decodeImage` and `preprocessImages`. */
  preprocess(picture: ImageSource | ImageLike, signal?: AbortSignal): Promise<PreparedImage>;
  /** Ends the threads; pictures that are not done fail with `processor/pool`. */
  dispose(): Promise<void>;
}

/** How many threads there are, and what they make of each picture. */
export interface ImagePoolOptions {
  /** Parsed `preprocessor_config.json` or `processor_config.json`. */
  readonly preprocessor: unknown;
  /** Number of threads; one per processor core when absent. */
  readonly workers?: number | undefined;
  readonly decode?: Omit<DecodeImageOptions, "signal"> | undefined;
}

/** The most threads: each holds a picture and its numbers in memory. */
const MAX_WORKERS = 64;

interface Job {
  readonly picture: ImageSource | ImageLike;
  readonly resolve: (image: PreparedImage) => void;
  readonly reject: (reason: unknown) => void;
}

/** A pool of threads for many pictures; the caller disposes it. The numbers are those of `decodeImage` and `preprocessImages`. */
export function createImagePool(options: ImagePoolOptions): ImagePool {
  const unknown = unknownKeys(options, ["preprocessor", "workers", "decode"]);
  if (unknown.length > 0)
    throw new PaliGemmaError(
      "processor/option",
      `createImagePool has no option ${unknown.map(({ key }) => key).join(", ")}; it has preprocessor, workers and decode`,
    );
  const { workers = availableParallelism(), decode = {} } = options;
  if (!(Number.isInteger(workers) && workers >= 1 && workers <= MAX_WORKERS))
    throw new PaliGemmaError(
      "processor/option",
      `workers is ${workers}; it must be a whole number from 1 to ${MAX_WORKERS}`,
    );
  const settings: WorkerSettings = { config: parsePreprocessorConfig(options.preprocessor), decode };
  const url = workerUrl();

  const waiting: Job[] = [];
  const idle: Worker[] = [];
  const busy = new Map<Worker, Job>();
  let disposed = false;

  const next = (): void => {
    while (waiting.length > 0) {
      const worker = idle.pop() ?? (busy.size < workers ? start() : undefined);
      if (worker === undefined) return;
      const job = waiting.shift()!;
      busy.set(worker, job);
      worker.ref();
      worker.postMessage(transportable(job.picture));
    }
  };
  const start = (): Worker => {
    const worker = new Worker(url, { workerData: settings, execArgv: [], name: "paligemma-images" });
    worker.on("message", (answer: WorkerAnswer) => {
      const job = busy.get(worker);
      busy.delete(worker);
      idle.push(worker);
      worker.unref(); // an idle pool keeps no process alive
      if ("data" in answer) {
        const { width, height, shape, data } = answer;
        job?.resolve({ pixelValues: ndArray("float32", shape.slice(1), data), width, height });
      } else job?.reject(toError(answer.code, answer.message));
      next();
    });
    worker.on("error", (cause) => {
      busy
        .get(worker)
        ?.reject(new PaliGemmaError("processor/pool", `a thread of the pool ended: ${cause.message}`, { cause }));
      busy.delete(worker);
      if (idle.includes(worker)) idle.splice(idle.indexOf(worker), 1);
      next();
    });
    return worker;
  };
  const dispose = async (): Promise<void> => {
    disposed = true;
    const gone = new PaliGemmaError("processor/pool", "the pool was disposed before the picture was done");
    for (const job of [...waiting.splice(0), ...busy.values()]) job.reject(gone);
    await Promise.all([...idle.splice(0), ...busy.keys()].map((worker) => worker.terminate()));
    busy.clear();
  };
  return {
    preprocess(picture, signal) {
      if (disposed) throw new PaliGemmaError("processor/pool", "the pool was disposed; create another");
      signal?.throwIfAborted();
      return new Promise<PreparedImage>((resolve, reject) => {
        const abort = (): void => {
          const at = waiting.indexOf(job);
          if (at >= 0) waiting.splice(at, 1);
          reject(signal?.reason);
        };
        const settle =
          <T>(how: (value: T) => void): ((value: T) => void) =>
          (value) => {
            signal?.removeEventListener("abort", abort);
            how(value);
          };
        const job: Job = { picture, resolve: settle(resolve), reject: settle(reject) };
        signal?.addEventListener("abort", abort);
        waiting.push(job);
        next();
      });
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

/** A copy of what a view shows, not of the whole memory behind it; a URL as text. */
function transportable(picture: ImageSource | ImageLike): ImageSource | ImageLike {
  if (picture instanceof URL) return picture.href;
  if (picture instanceof Uint8Array)
    return picture.byteLength === picture.buffer.byteLength ? picture : picture.slice();
  return picture;
}

function toError(code: string | undefined, message: string): Error {
  if (code === undefined) return new Error(message);
  return new PaliGemmaError(
    code as ErrorCode,
    message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message,
  );
}

/** The built worker, also when this file is a source that something else translates: threads start from JavaScript only. */
function workerUrl(): URL {
  const url = new URL(import.meta.resolve("@paligemma/processor/image-worker"));
  if (!existsSync(fileURLToPath(url))) {
    throw new PaliGemmaError(
      "processor/pool",
      `${fileURLToPath(url)} is missing: the worker has to be built first (npx tsc -b packages/processor in the repository; an installed package brings it)`,
    );
  }
  return url;
}
