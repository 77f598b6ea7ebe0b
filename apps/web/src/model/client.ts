import { PaliGemmaError, type Progress } from "@paligemma/core";
import type { Answered, Found, FromModel, LoadedModel, Machine, ModelChoice, Question, ToModel } from "./protocol.ts";

/** What the page hears while something runs. */
export interface Hearing {
  onProgress?(progress: Progress): void;
  onText?(text: string): void;
  onFound?(found: readonly Found[], size: Answered["size"]): void;
}

interface Waiting extends Hearing {
  resolve(value: LoadedModel | Answered): void;
  reject(error: PaliGemmaError): void;
}

/** The page's end of the line to the model's worker. */
export class ModelClient {
  #worker: Worker | undefined;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onAssets: (assets: readonly string[]) => void;
  #count = 0;

  /** `onAssets` hears, when nothing else is to be done, which files a loaded model needs from the page's own server. */
  constructor(onAssets: (assets: readonly string[]) => void) {
    this.#onAssets = onAssets;
  }

  /** Loads a model in place of the one that is there. */
  load(choice: ModelChoice, machine: Machine, hearing: Hearing, signal?: AbortSignal): Promise<LoadedModel> {
    return this.#call((id) => ({ kind: "load", id, choice, machine }), hearing, signal) as Promise<LoadedModel>;
  }

  /** Asks about a picture; stopped by `signal`, it resolves with what was written until then. */
  ask(question: Question, picture: Blob, hearing: Hearing, signal?: AbortSignal): Promise<Answered> {
    return this.#call((id) => ({ kind: "ask", id, question, picture }), hearing, signal) as Promise<Answered>;
  }

  /** Forgets models that were kept. */
  forget(): void {
    this.#post({ kind: "forget" });
  }

  /** Ends the worker, with everything in it; the next call starts another. */
  restart(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#fail(new PaliGemmaError("web/restarted", "the model was unloaded"));
  }

  #call(
    make: (id: number) => ToModel,
    hearing: Hearing,
    signal: AbortSignal | undefined,
  ): Promise<LoadedModel | Answered> {
    const id = this.#count++;
    const cancel = (): void => this.#post({ kind: "cancel", id });
    signal?.addEventListener("abort", cancel, { once: true });
    const answer = new Promise<LoadedModel | Answered>((resolve, reject) =>
      this.#waiting.set(id, { ...hearing, resolve, reject }),
    );
    this.#post(make(id));
    return answer.finally(() => signal?.removeEventListener("abort", cancel));
  }

  #receive(message: FromModel): void {
    if (message.kind === "assets") return this.#onAssets(message.assets);
    const waiting = this.#waiting.get(message.id);
    switch (message.kind) {
      case "progress":
        return waiting?.onProgress?.(message.progress);
      case "text":
        return waiting?.onText?.(message.text);
      case "found":
        return waiting?.onFound?.(message.found, message.size);
      case "loaded":
        this.#waiting.delete(message.id);
        return waiting?.resolve(message.model);
      case "answered":
        this.#waiting.delete(message.id);
        return waiting?.resolve(message.answer);
      case "failed": {
        this.#waiting.delete(message.id);
        const { code, message: text } = message.fault;
        waiting?.reject(new PaliGemmaError(code as `${string}/${string}`, text));
      }
    }
  }

  #post(message: ToModel): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(message);
  }

  #start(): Worker {
    const worker = new Worker(new URL("worker.ts", import.meta.url), { type: "module", name: "model" });
    worker.addEventListener("message", ({ data }: MessageEvent<FromModel>) => this.#receive(data));
    worker.addEventListener("error", ({ message }) => {
      worker.terminate();
      if (this.#worker === worker) this.#worker = undefined;
      this.#fail(
        new PaliGemmaError(
          "web/worker",
          `the model's thread ended: ${message || "its script did not arrive"}. Load the model again; reload the page if that does not help.`,
        ),
      );
    });
    return worker;
  }

  #fail(error: PaliGemmaError): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}
