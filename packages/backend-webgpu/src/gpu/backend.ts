import { abortable, type Backend, type CompileOptions, type Session, type Tensor } from "@paligemma/backend";
import { PaliGemmaError, bytesFor, sizeOf, viewAs, type DType, type NdArray } from "@paligemma/core";
import { formatShape, type GraphModel, type Target } from "@paligemma/graph";
import { backendGone, checkArray, checkCopy, checkShape, overlap } from "../checks.ts";
import { checkCompile, checkTarget } from "../compile.ts";
import { Life } from "../life.ts";
import type { CheckedOptions } from "../options.ts";
import type { Runtime } from "../runtime.ts";
import type { BackendStats } from "../stats.ts";
import { Constants } from "../weights/inline.ts";
import { WeightStore } from "../weights/store.ts";
import { compileGpu } from "./compile.ts";
import type { OpenDevice } from "./device.ts";
import { lossOf, outOfMemory, scoped } from "./faults.ts";
import { Meter } from "./meter.ts";
import type { GpuParts } from "./parts.ts";
import { BufferPool, type Block } from "./pool.ts";
import { GpuTensor } from "./tensor.ts";
import { Transfer } from "./transfer.ts";

/** Graphs on a GPU, in this thread. */
export class GpuBackend implements Backend {
  readonly name: string;
  readonly target: Target;
  readonly #options: CheckedOptions;
  readonly #parts: GpuParts;
  readonly #meter: Meter;
  readonly #maxBufferSize: number;
  #closed = false;

  constructor(
    runtime: Runtime,
    { device, label, software, maxBufferSize }: OpenDevice,
    target: Target,
    options: CheckedOptions,
  ) {
    this.name = `onnxruntime-web ${runtime.version} on webgpu (${label}${software ? ", software" : ""})`;
    this.target = target;
    this.#options = options;
    this.#meter = new Meter(device);
    const pool = new BufferPool(device);
    const transfer = new Transfer(device, pool);
    const life = new Life();
    void lossOf(device, label).then((loss) => life.end(loss));
    this.#parts = {
      owner: { closed: () => this.#closed },
      runtime,
      device,
      life,
      pool,
      transfer,
      sessions: new Set(),
      constants: new Constants(),
      weights: new WeightStore(device, transfer, maxBufferSize),
      counts: { runs: 0, stagingBytesPeak: 0 },
    };
    this.#maxBufferSize = maxBufferSize;
  }

  async compile(model: GraphModel, options: CompileOptions = {}): Promise<Session> {
    this.#check();
    checkCompile(options);
    checkTarget(model, this.target);
    const compiling = compileGpu(this.#parts, model, { ...options, target: this.target, strict: this.#options.strict });
    return await abortable(compiling, options.signal, (late) => void late.dispose());
  }

  async allocate(dtype: DType, shape: readonly number[]): Promise<Tensor> {
    this.#check();
    checkShape(dtype, shape);
    const { block, fresh } = await this.#parts.life.guard(this.#room(dtype, shape));
    const tensor = new GpuTensor(this.#parts.owner, dtype, shape, block);
    if (block && !fresh) this.#parts.transfer.clear(block.buffer, tensor.bytes);
    return tensor;
  }

  async upload(array: NdArray): Promise<Tensor> {
    this.#check();
    checkArray(array, "the array to upload");
    const { dtype, shape } = array;
    // The caller may change the array as soon as this returns, before the memory is there.
    const bytes = new Uint8Array(array.data.buffer, array.data.byteOffset, array.data.byteLength).slice();
    const { block } = await this.#parts.life.guard(this.#room(dtype, shape));
    if (block) this.#parts.transfer.write(block.buffer, bytes);
    return new GpuTensor(this.#parts.owner, dtype, shape, block);
  }

  async download(tensor: Tensor): Promise<NdArray> {
    this.#check();
    const { owner, transfer, life } = this.#parts;
    const { dtype, shape, bytes, offset, block } = GpuTensor.of(owner, tensor, "the tensor to download");
    block?.hold();
    try {
      const [data] = await life.guard(
        this.#scoped("a download", () => transfer.read([{ buffer: block?.buffer, offset, bytes }])),
      );
      return { dtype, shape, data: viewAs(dtype, data!) };
    } finally {
      block?.release();
    }
  }

  async copy(from: Tensor, to: Tensor): Promise<void> {
    this.#check();
    const { owner, transfer, life } = this.#parts;
    const a = GpuTensor.of(owner, from, "the tensor to copy from");
    const b = GpuTensor.of(owner, to, "the tensor to copy to");
    checkCopy(a, b);
    if (!a.block || !b.block) return;
    const { bytes } = a;
    if (a.block === b.block && Math.abs(a.offset - b.offset) < bytes) throw overlap();
    const [source, target] = [a.block.hold(), b.block.hold()];
    try {
      const move = {
        from: { buffer: source.buffer, offset: a.offset, bytes },
        to: { buffer: target.buffer, offset: b.offset, bytes },
      };
      await life.guard(this.#scoped("a copy", () => transfer.copy([move])));
    } finally {
      source.release();
      target.release();
    }
  }

  /** What the backend has done so far. */
  stats(): Promise<BackendStats> {
    const { runtime, transfer, counts } = this.#parts;
    const { buffersCreated, bufferBytesNow, bufferBytesPeak, bytesFromDevice } = this.#meter;
    return Promise.resolve({
      buffersCreated,
      bufferBytesNow,
      bufferBytesPeak,
      bytesFromDevice,
      bytesToDevice: transfer.bytesToDevice,
      ...counts,
      wasmHeapBytes: runtime.heapBytes(),
      runtime: runtime.build,
    });
  }

  async dispose(): Promise<void> {
    if (this.#closed) return;
    const { sessions, life, pool, device, weights } = this.#parts;
    life.end(new PaliGemmaError("backend/disposed", "the backend was disposed while this was running"));
    const releasing = [...sessions].map((session) => session.dispose());
    this.#closed = true;
    await Promise.all(releasing);
    weights.clear();
    pool.close();
    device.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #check(): void {
    if (this.#closed) throw backendGone();
    this.#parts.life.check();
  }

  /** Does `work` when no graph runs, in the order asked for, and reports what the device finds wrong with it. */
  #scoped<T>(what: string, work: () => Promise<T>): Promise<T> {
    const { runtime, device } = this.#parts;
    return runtime.exclusive(() => scoped(device, what, work));
  }

  async #room(
    dtype: DType,
    shape: readonly number[],
  ): Promise<{ readonly block: Block | undefined; readonly fresh: boolean }> {
    const bytes = bytesFor(dtype, sizeOf(shape));
    if (bytes === 0) return { block: undefined, fresh: true };
    const what = `${dtype} ${formatShape(shape)} (${bytes} bytes)`;
    if (bytes > this.#maxBufferSize) throw outOfMemory(what, `one buffer holds at most ${this.#maxBufferSize} bytes`);
    const { device, pool } = this.#parts;
    device.pushErrorScope("out-of-memory");
    const room = pool.storage(bytes);
    const fault = await device.popErrorScope().catch(() => null);
    if (fault) throw outOfMemory(what, fault.message);
    return room;
  }
}
