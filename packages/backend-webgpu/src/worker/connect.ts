import {
  abortable,
  checkRun,
  isTensor,
  type CompileOptions,
  type Feeds,
  type RunOptions,
  type RunResult,
  type Session,
  type Tensor,
} from "@paligemma/backend";
import { PaliGemmaError, type DType, type NdArray } from "@paligemma/core";
import type { GraphModel, Initializer, Target } from "@paligemma/graph";
import type { ByteSource } from "@paligemma/weights";
import type { WebGpuBackend } from "../create.ts";
import { backendGone, checkArray, checkCopy, checkShape, sessionGone } from "../checks.ts";
import { checkCompile, checkTarget } from "../compile.ts";
import { checkOptions, type WebGpuOptions } from "../options.ts";
import type { BackendStats } from "../stats.ts";
import { Link, type WorkerPort } from "./link.ts";
import type { Created, FedPlace, Ran } from "./protocol.ts";
import { RemoteTensor } from "./remote-tensor.ts";
import type { SourceNumber } from "./serve.ts";

/**
 * A backend that runs in `worker`, a module worker whose script calls `serveWebGpuWorker()`: the page stays free while
 * graphs run. The worker belongs to the backend from then on and ends with it. Throws what `createWebGpuBackend` throws.
 */
export async function connectWebGpuWorker(worker: WorkerPort, options?: WebGpuOptions): Promise<WebGpuBackend> {
  checkOptions(options);
  const link = new Link(worker);
  try {
    const { name, target } = (await link.call({ kind: "create", options })) as Created;
    return new RemoteBackend(link, name, target);
  } catch (error) {
    link.close();
    throw error;
  }
}

class RemoteBackend implements WebGpuBackend {
  readonly name: string;
  readonly target: Target;
  readonly #link: Link;
  #sessionCount = 0;
  #disposed = false;

  constructor(link: Link, name: string, target: Target) {
    this.#link = link;
    this.name = `${name}, in a worker`;
    this.target = target;
  }

  async compile(model: GraphModel, options: CompileOptions = {}): Promise<Session> {
    this.#check();
    checkCompile(options);
    checkTarget(model, this.target);
    const { onProgress, signal } = options;
    const session = this.#sessionCount++;
    const call = this.#link.call(
      { kind: "compile", session, model: this.#withoutSources(model) },
      { ...(onProgress && { onProgress }), ...(signal && { signal }) },
    );
    const compiled = call.then(() => new RemoteSession(this.#link, session, model));
    return await abortable(compiled, signal, (late) => void late.dispose());
  }

  async allocate(dtype: DType, shape: readonly number[]): Promise<Tensor> {
    this.#check();
    checkShape(dtype, shape);
    const tensor = new RemoteTensor(this.#link, dtype, shape);
    await this.#link.call({ kind: "allocate", tensor: tensor.number, dtype, shape });
    return tensor;
  }

  async upload(array: NdArray): Promise<Tensor> {
    this.#check();
    checkArray(array, "the array to upload");
    const tensor = new RemoteTensor(this.#link, array.dtype, array.shape);
    await this.#link.call({ kind: "upload", tensor: tensor.number, array });
    return tensor;
  }

  async download(tensor: Tensor): Promise<NdArray> {
    this.#check();
    return (await this.#link.call({
      kind: "download",
      from: RemoteTensor.placeOf(this.#link, tensor, "the tensor to download"),
    })) as NdArray;
  }

  async copy(from: Tensor, to: Tensor): Promise<void> {
    this.#check();
    const [a, b] = [
      RemoteTensor.placeOf(this.#link, from, "the tensor to copy from"),
      RemoteTensor.placeOf(this.#link, to, "the tensor to copy to"),
    ];
    checkCopy(from, to);
    await this.#link.call({ kind: "copy", from: a, to: b });
  }

  async stats(): Promise<BackendStats> {
    this.#check();
    return (await this.#link.call({ kind: "stats" })) as BackendStats;
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    const over = new PaliGemmaError("backend/disposed", "the backend was disposed while this was running");
    await this.#link.last({ kind: "dispose" }, over);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #check(): void {
    if (this.#disposed) throw backendGone();
  }

  /** The model with numbers for its sources, which stay on this side. */
  #withoutSources(model: GraphModel): GraphModel {
    const initializers = model.initializers.map((initializer): Initializer => {
      const { ref } = initializer;
      if (!ref) return initializer;
      const { name, size } = ref.source;
      const source: SourceNumber = { number: this.#link.sourceNumber(ref.source), name, size };
      return { ...initializer, ref: { ...ref, source: source as unknown as ByteSource } };
    });
    return { ...model, initializers };
  }
}

class RemoteSession implements Session {
  readonly model: GraphModel;
  readonly #link: Link;
  readonly #number: number;
  #disposed = false;

  constructor(link: Link, number: number, model: GraphModel) {
    this.#link = link;
    this.#number = number;
    this.model = model;
  }

  async run(feeds: Feeds, options: RunOptions): Promise<RunResult> {
    if (this.#disposed || this.#link.closed) throw sessionGone(this.model.name);
    checkRun(this.model, feeds, options);
    const { host = [], device = [], into = {}, signal } = options;
    signal?.throwIfAborted();
    const link = this.#link;
    const fed: Record<string, FedPlace> = {};
    for (const [name, feed] of Object.entries(feeds)) {
      if (!isTensor(feed)) checkArray(feed, name);
      fed[name] = isTensor(feed) ? RemoteTensor.placeOf(link, feed, name) : feed;
    }
    const targets = Object.entries(into).map(
      ([name, tensor]) => [name, RemoteTensor.placeOf(link, tensor, name)] as const,
    );
    const numbers = device.map((name) => [name, link.tensorNumber()] as const);
    const call = link.call(
      { kind: "run", session: this.#number, feeds: fed, host, device: numbers, into: targets },
      signal ? { signal } : {},
    );
    const result = call.then((answer): RunResult => {
      const ran = answer as Ran;
      const tensors = numbers.map(
        ([name, number]) =>
          [name, new RemoteTensor(link, ran.device[name]!.dtype, ran.device[name]!.shape, { number })] as const,
      );
      return { host: ran.host, device: Object.fromEntries(tensors) };
    });
    return await abortable(result, signal, (late) => {
      for (const tensor of Object.values(late.device)) tensor.dispose();
    });
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    if (!this.#link.closed) await this.#link.call({ kind: "release", session: this.#number });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
