import {
  abortable,
  checkRun,
  isTensor,
  type Feeds,
  type RunOptions,
  type RunResult,
  type Session,
  type Tensor,
} from "@paligemma/backend";
import { PaliGemmaError, isPaliGemmaError, type ArrayTypes, type DType, type NdArray } from "@paligemma/core";
import { formatShape, type GraphModel } from "@paligemma/graph";
import type * as Ort from "onnxruntime-common";
import { checkArray, sessionGone } from "../checks.ts";
import { RUN_OPTIONS } from "../compile.ts";
import type { TensorOwner } from "../gpu/tensor.ts";
import type { Life } from "../life.ts";
import type { Runtime } from "../runtime.ts";
import { HostTensor, write } from "./tensor.ts";

/** What the sessions and tensors of one backend share. */
export interface WasmParts {
  readonly owner: TensorOwner;
  readonly runtime: Runtime;
  /** Ends when the backend is disposed. */
  readonly life: Life;
  readonly sessions: Set<Session>;
  readonly counts: { runs: number; stagingBytesPeak: number };
}

/** A graph compiled for the processor. */
export class WasmSession implements Session {
  readonly model: GraphModel;
  readonly #parts: WasmParts;
  readonly #session: Ort.InferenceSession;
  #disposed = false;

  constructor(parts: WasmParts, model: GraphModel, session: Ort.InferenceSession) {
    this.model = model;
    this.#parts = parts;
    this.#session = session;
  }

  async run(feeds: Feeds, options: RunOptions): Promise<RunResult> {
    const { life, runtime, owner } = this.#parts;
    if (this.#disposed || life.over) throw sessionGone(this.model.name);
    checkRun(this.model, feeds, options);
    options.signal?.throwIfAborted();
    const inputs = this.#inputs(feeds);
    const targets = Object.entries(options.into ?? {}).map(
      ([name, tensor]) => [name, HostTensor.of(owner, tensor, name)] as const,
    );
    const work = runtime.exclusive(() => {
      options.signal?.throwIfAborted();
      return this.#execute(inputs, options, targets);
    });
    return await abortable(life.guard(work), options.signal, () => undefined);
  }

  /** The runtime reads the arrays when the run begins; until then they are the memory of tensors, so that order is kept. */
  #inputs(feeds: Feeds): Record<string, Ort.Tensor> {
    const { owner, runtime } = this.#parts;
    const inputs: Record<string, Ort.Tensor> = {};
    for (const { name, dtype } of this.model.inputs) {
      const fed = feeds[name]!;
      if (!isTensor(fed)) checkArray(fed, name);
      const { data } = isTensor(fed) ? HostTensor.of(owner, fed, name) : fed;
      inputs[name] = new runtime.ort.Tensor(dtype as Ort.Tensor.Type, data as never, [...fed.shape]);
    }
    return inputs;
  }

  async #execute(
    inputs: Record<string, Ort.Tensor>,
    { host = [], device = [] }: RunOptions,
    targets: readonly (readonly [string, HostTensor])[],
  ): Promise<RunResult> {
    const { owner, counts } = this.#parts;
    const results = await this.#session
      .run(inputs, [...host, ...device, ...targets.map(([name]) => name)], RUN_OPTIONS)
      .catch((error: unknown) => {
        throw this.#explain(error);
      });
    counts.runs++;
    for (const [name, target] of targets) {
      const array = this.#array(name, results);
      if (array.shape.join() !== target.shape.join()) {
        throw new PaliGemmaError(
          "backend/run",
          `${name} came out as ${formatShape(array.shape)}, the tensor to write it into is ${formatShape(target.shape)}`,
        );
      }
      write(array, target);
    }
    const kept: Record<string, Tensor> = {};
    for (const name of device) kept[name] = new HostTensor(owner, this.#array(name, results));
    return { host: Object.fromEntries(host.map((name) => [name, this.#array(name, results)])), device: kept };
  }

  #array(name: string, results: Ort.InferenceSession.OnnxValueMapType): NdArray {
    const { dtype } = this.model.outputs.find((port) => port.name === name)!;
    const { dims, data } = results[name]!;
    return { dtype, shape: dims, data: asHalfBits(data) as ArrayTypes[DType] };
  }

  #explain(error: unknown): unknown {
    if (isPaliGemmaError(error)) return error;
    return new PaliGemmaError(
      "backend/run",
      `a run of ${this.model.name} failed: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#parts.sessions.delete(this);
    await this.#parts.runtime.exclusive(() => this.#session.release());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Half floats as their bits, whatever array the runtime holds them in. */
function asHalfBits(data: Ort.Tensor.DataType): unknown {
  if (Array.isArray(data))
    throw new PaliGemmaError("backend/dtype", "the runtime gave texts, which no graph of ours has");
  return data.constructor.name === "Float16Array" ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data;
}
