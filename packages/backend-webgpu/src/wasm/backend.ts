import { abortable, type Backend, type CompileOptions, type Session, type Tensor } from "@paligemma/backend";
import { PaliGemmaError, bytesFor, sizeOf, zeros, type DType, type NdArray } from "@paligemma/core";
import { encodeOnnx, formatShape, type GraphModel, type Target } from "@paligemma/graph";
import { backendGone, checkArray, checkCopy, checkShape, overlap } from "../checks.ts";
import { SESSION_OPTIONS, checkCompile, checkTarget, compileError } from "../compile.ts";
import { Life } from "../life.ts";
import type { Runtime } from "../runtime.ts";
import type { BackendStats } from "../stats.ts";
import { planWeights } from "../weights/plan.ts";
import { readWeights } from "../weights/inline.ts";
import { WasmSession, type WasmParts } from "./session.ts";
import { HostTensor, bytesOf, copyOf, write } from "./tensor.ts";

/** Tensors up to this size are constants in the graph's message, bigger ones are handed to the runtime beside it. */
const INLINE_BYTES = 1024;

/** Graphs on the processor, in WebAssembly, in this thread: slow, and right where there is no GPU. */
export class WasmBackend implements Backend {
  readonly name: string;
  readonly target: Target;
  readonly #parts: WasmParts;

  constructor(runtime: Runtime, target: Target) {
    this.name = `onnxruntime-web ${runtime.version} on wasm`;
    this.target = target;
    const life = new Life();
    const owner = { closed: () => life.over !== undefined };
    this.#parts = { owner, runtime, life, sessions: new Set<Session>(), counts: { runs: 0, stagingBytesPeak: 0 } };
  }

  async compile(model: GraphModel, options: CompileOptions = {}): Promise<Session> {
    this.#check();
    checkCompile(options);
    checkTarget(model, this.target);
    return await abortable(this.#compile(model, options), options.signal, (late) => void late.dispose());
  }

  async #compile(model: GraphModel, options: CompileOptions): Promise<Session> {
    const { runtime, counts, sessions } = this.#parts;
    const plan = planWeights(model, this.target, INLINE_BYTES);
    const onHeld = (bytes: number): void => void (counts.stagingBytesPeak = Math.max(counts.stagingBytesPeak, bytes));
    const arrays = await readWeights([...plan.inline, ...plan.streamed], {
      ...options,
      onHeld,
      task: `read weights of ${model.name}`,
    });
    const inline = new Set(plan.inline.map(({ name }) => name));
    const initializers = plan.model.initializers.map((initializer) => {
      const array = inline.has(initializer.name) ? arrays.get(initializer.name) : undefined;
      return array ? { name: initializer.name, dtype: array.dtype, shape: array.shape, data: array } : initializer;
    });
    const names = new Map(plan.streamed.map(({ ref, name }) => [ref, name]));
    const { bytes } = encodeOnnx({ ...plan.model, initializers }, (ref) => {
      const location = names.get(ref)!;
      return { location, offset: 0, length: arrays.get(location)!.data.byteLength };
    });
    const externalData = plan.streamed.map(({ name }) => ({ path: name, data: bytesOf(arrays.get(name)!) }));
    options.signal?.throwIfAborted();
    const session = await runtime
      .exclusive(() =>
        runtime.ort.InferenceSession.create(bytes, { ...SESSION_OPTIONS, executionProviders: ["wasm"], externalData }),
      )
      .catch((cause: unknown) => {
        throw compileError(model, cause);
      });
    const compiled = new WasmSession(this.#parts, model, session);
    sessions.add(compiled);
    options.onProgress?.({ task: `compile ${model.name}`, done: 1, total: 1, unit: "items" });
    return compiled;
  }

  async allocate(dtype: DType, shape: readonly number[]): Promise<Tensor> {
    this.#check();
    checkShape(dtype, shape);
    try {
      return new HostTensor(this.#parts.owner, zeros(dtype, shape));
    } catch (cause) {
      throw new PaliGemmaError(
        "backend/memory",
        `this page has no memory for ${dtype} ${formatShape(shape)} (${bytesFor(dtype, sizeOf(shape))} bytes). Take a smaller model or smaller batches.`,
        { cause },
      );
    }
  }

  async upload(array: NdArray): Promise<Tensor> {
    this.#check();
    checkArray(array, "the array to upload");
    return new HostTensor(this.#parts.owner, copyOf(array));
  }

  async download(tensor: Tensor): Promise<NdArray> {
    this.#check();
    const from = HostTensor.of(this.#parts.owner, tensor, "the tensor to download");
    return await this.#parts.runtime.exclusive(() => Promise.resolve(copyOf(from)));
  }

  async copy(from: Tensor, to: Tensor): Promise<void> {
    this.#check();
    const a = HostTensor.of(this.#parts.owner, from, "the tensor to copy from");
    const b = HostTensor.of(this.#parts.owner, to, "the tensor to copy to");
    const [start, other] = [a.data.byteOffset, b.data.byteOffset];
    if (a.data.buffer === b.data.buffer && Math.abs(start - other) < Math.min(a.data.byteLength, b.data.byteLength))
      throw overlap();
    checkCopy(a, b);
    await this.#parts.runtime.exclusive(() => Promise.resolve(write(a, b)));
  }

  /** What the backend has done so far; everything of a GPU stays zero. */
  stats(): Promise<BackendStats> {
    return Promise.resolve({
      buffersCreated: 0,
      bufferBytesNow: 0,
      bufferBytesPeak: 0,
      bytesFromDevice: 0,
      bytesToDevice: 0,
      ...this.#parts.counts,
      wasmHeapBytes: this.#parts.runtime.heapBytes(),
      runtime: this.#parts.runtime.build,
    });
  }

  async dispose(): Promise<void> {
    if (this.#parts.life.over) return;
    this.#parts.life.end(new PaliGemmaError("backend/disposed", "the backend was disposed while this was running"));
    await Promise.all([...this.#parts.sessions].map((session) => session.dispose()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #check(): void {
    if (this.#parts.life.over) throw backendGone();
  }
}
