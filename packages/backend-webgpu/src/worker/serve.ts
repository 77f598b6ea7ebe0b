import type { Feeds, Session, Tensor } from "@paligemma/backend";
import { PaliGemmaError } from "@paligemma/core";
import type { GraphModel, Initializer } from "@paligemma/graph";
import type { ByteSource } from "@paligemma/weights";
import { createWebGpuBackend, type WebGpuBackend } from "../create.ts";
import {
  buffersOf,
  errorOf,
  faultOf,
  isPlace,
  type Call,
  type Created,
  type FromWorker,
  type Ran,
  type TensorPlace,
  type ToWorker,
} from "./protocol.ts";

/** The part of a worker's global scope that is needed. */
export interface WorkerScope {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

/**
 * Makes this worker run graphs for the page that started it: the whole script of such a worker is this call. The page's
 * side is `connectWebGpuWorker`.
 */
export function serveWebGpuWorker(scope: WorkerScope = globalThis as unknown as WorkerScope): void {
  new Server(scope).listen();
}

class Server {
  readonly #scope: WorkerScope;
  readonly #sessions = new Map<number, Session>();
  readonly #tensors = new Map<number, Tensor>();
  readonly #sources = new Map<number, ByteSource>();
  readonly #reads = new Map<number, { resolve(bytes: Uint8Array): void; reject(error: unknown): void }>();
  readonly #aborts = new Map<number, AbortController>();
  #backend: WebGpuBackend | undefined;
  #readCount = 0;

  constructor(scope: WorkerScope) {
    this.#scope = scope;
  }

  listen(): void {
    this.#scope.addEventListener("message", ({ data }) => this.#receive(data as ToWorker));
  }

  #receive(message: ToWorker): void {
    switch (message.kind) {
      case "call":
        return void this.#answer(message.id, message.call);
      case "abort":
        return this.#aborts.get(message.id)?.abort();
      case "free":
        this.#tensors.get(message.tensor)?.dispose();
        this.#tensors.delete(message.tensor);
        return;
      case "bytes": {
        const waiting = this.#reads.get(message.read);
        this.#reads.delete(message.read);
        if (message.bytes) waiting?.resolve(message.bytes);
        else waiting?.reject(errorOf(message.fault!));
      }
    }
  }

  async #answer(id: number, call: Call): Promise<void> {
    const abort = new AbortController();
    this.#aborts.set(id, abort);
    try {
      const [value, transfer] = await this.#do(call, id, abort.signal);
      this.#post({ kind: "answer", id, value }, transfer);
    } catch (error) {
      this.#post({ kind: "fault", id, fault: faultOf(error) });
    } finally {
      this.#aborts.delete(id);
    }
  }

  async #do(call: Call, id: number, signal: AbortSignal): Promise<readonly [value: unknown, transfer?: ArrayBuffer[]]> {
    if (call.kind === "create") return [await this.#create(call)];
    const backend = this.#backend;
    if (!backend)
      throw new PaliGemmaError("backend/worker", "the worker was asked for work before a backend was created");
    switch (call.kind) {
      case "compile": {
        const onProgress = (progress: Extract<FromWorker, { kind: "progress" }>["progress"]): void =>
          this.#post({ kind: "progress", id, progress });
        this.#sessions.set(call.session, await backend.compile(this.#withSources(call.model), { signal, onProgress }));
        return [undefined];
      }
      case "run":
        return await this.#run(call, signal);
      case "allocate":
        this.#tensors.set(call.tensor, await backend.allocate(call.dtype, call.shape));
        return [undefined];
      case "upload":
        this.#tensors.set(call.tensor, await backend.upload(call.array));
        return [undefined];
      case "download": {
        const array = await backend.download(this.#tensor(call.from));
        return [array, [array.data.buffer as ArrayBuffer]];
      }
      case "copy":
        return [await backend.copy(this.#tensor(call.from), this.#tensor(call.to))];
      case "release":
        await this.#sessions.get(call.session)?.dispose();
        this.#sessions.delete(call.session);
        return [undefined];
      case "stats":
        return [await backend.stats()];
      case "dispose":
        return [await backend.dispose()];
    }
  }

  async #create({ options }: Extract<Call, { kind: "create" }>): Promise<Created> {
    this.#backend = await createWebGpuBackend(options);
    return { name: this.#backend.name, target: this.#backend.target };
  }

  async #run(
    { session, feeds, host, device, into }: Extract<Call, { kind: "run" }>,
    signal: AbortSignal,
  ): Promise<readonly [Ran, ArrayBuffer[]]> {
    const fed: Feeds = Object.fromEntries(
      Object.entries(feeds).map(([name, feed]) => [name, isPlace(feed) ? this.#tensor(feed) : feed]),
    );
    const targets = Object.fromEntries(into.map(([name, place]) => [name, this.#tensor(place)]));
    const names = device.map(([name]) => name);
    const result = await this.#sessions.get(session)!.run(fed, { host, device: names, into: targets, signal });
    for (const [name, tensor] of device) this.#tensors.set(tensor, result.device[name]!);
    const kinds = Object.fromEntries(
      names.map((name) => [name, { dtype: result.device[name]!.dtype, shape: result.device[name]!.shape }]),
    );
    return [{ host: result.host, device: kinds }, buffersOf(result.host)];
  }

  #tensor({ tensor, windows }: TensorPlace): Tensor {
    const whole = this.#tensors.get(tensor);
    if (!whole)
      throw new PaliGemmaError("backend/disposed", "the tensor was disposed; keep it until it is no longer used");
    return windows.reduce((window, [start, end]) => window.rows(start, end), whole);
  }

  /** The model with sources that ask the page for their bytes. */
  #withSources(model: GraphModel): GraphModel {
    const initializers = model.initializers.map((initializer): Initializer => {
      const { ref } = initializer;
      return ref
        ? { ...initializer, ref: { ...ref, source: this.#source(ref.source as unknown as SourceNumber) } }
        : initializer;
    });
    return { ...model, initializers };
  }

  #source({ number, name, size }: SourceNumber): ByteSource {
    let source = this.#sources.get(number);
    if (!source) {
      source = { name, size, read: (start, end) => this.#read(number, start, end) };
      this.#sources.set(number, source);
    }
    return source;
  }

  #read(source: number, start: number, end: number): Promise<Uint8Array> {
    const read = this.#readCount++;
    return new Promise((resolve, reject) => {
      this.#reads.set(read, { resolve, reject });
      this.#post({ kind: "read", read, source, start, end });
    });
  }

  #post(message: FromWorker, transfer: ArrayBuffer[] = []): void {
    this.#scope.postMessage(message, transfer);
  }
}

/** What stands for a source on its way to the worker. */
export interface SourceNumber {
  readonly number: number;
  readonly name: string;
  readonly size: number;
}
