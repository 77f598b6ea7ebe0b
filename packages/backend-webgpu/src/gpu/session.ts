import { abortable, checkRun, type Feeds, type RunOptions, type RunResult, type Session } from "@paligemma/backend";
import { PaliGemmaError, isPaliGemmaError, type NdArray } from "@paligemma/core";
import type { GraphModel } from "@paligemma/graph";
import type * as Ort from "onnxruntime-common";
import { sessionGone } from "../checks.ts";
import type { HeldWeights } from "../weights/store.ts";
import { outOfMemory, scoped } from "./faults.ts";
import type { GpuParts } from "./parts.ts";
import { GpuRun } from "./run.ts";

/** The runtime's own session, and what it gets in every run. */
export interface Compiled {
  readonly session: Ort.InferenceSession;
  /** Inputs that the session takes; a graph may have others that nothing reads. */
  readonly inputs: ReadonlySet<string>;
  /** Dimensions whose sizes it is told, and under which names. */
  readonly sizes: ReadonlyMap<string, string>;
  readonly weights: Readonly<Record<string, Ort.Tensor>>;
  readonly held: HeldWeights;
  /** Held for other graphs of the same weights. */
  readonly constants: ReadonlyMap<string, NdArray>;
}

/** A graph compiled for the GPU. */
export class GpuSession implements Session {
  readonly model: GraphModel;
  readonly #parts: GpuParts;
  readonly #compiled: Compiled;
  #disposed = false;

  constructor(parts: GpuParts, model: GraphModel, compiled: Compiled) {
    this.model = model;
    this.#parts = parts;
    this.#compiled = compiled;
  }

  async run(feeds: Feeds, options: RunOptions): Promise<RunResult> {
    const { life, runtime, owner } = this.#parts;
    if (this.#disposed || owner.closed()) throw sessionGone(this.model.name);
    checkRun(this.model, feeds, options);
    options.signal?.throwIfAborted();
    life.check();
    const run = new GpuRun(this.#parts, this.model, this.#compiled, { feeds, options });
    const work = runtime.exclusive(() => this.#execute(run, options.signal)).finally(() => run.end());
    return await abortable(life.guard(work), options.signal, (late) => {
      for (const tensor of Object.values(late.device)) tensor.dispose();
    });
  }

  async #execute(run: GpuRun, signal: AbortSignal | undefined): Promise<RunResult> {
    signal?.throwIfAborted();
    const { device, life } = this.#parts;
    life.check();
    try {
      return await scoped(device, `a run of ${this.model.name}`, () => run.execute());
    } catch (error) {
      throw this.#explain(error);
    }
  }

  #explain(error: unknown): unknown {
    const { life } = this.#parts;
    if (life.over) return life.over;
    if (isPaliGemmaError(error)) return error;
    const text = error instanceof Error ? error.message : String(error);
    if (/out of memory|failed to allocate|bad_alloc/i.test(text))
      return outOfMemory(`a run of ${this.model.name}`, text);
    return new PaliGemmaError("backend/run", `a run of ${this.model.name} failed: ${text}`, { cause: error });
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    const { runtime, life, sessions } = this.#parts;
    const { session, held } = this.#compiled;
    sessions.delete(this);
    await runtime.exclusive(async () => {
      // A lost device has taken the session's buffers with it; the runtime may complain about that, to nobody's use.
      await session.release().catch((error: unknown) => {
        if (!life.over) throw error;
      });
      held.release();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
