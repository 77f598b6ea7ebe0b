import { isTensor, type Feeds, type RunOptions, type RunResult, type Tensor } from "@paligemma/backend";
import { PaliGemmaError, allocate, bytesFor, sizeOf, viewAs, type DType, type NdArray } from "@paligemma/core";
import { formatShape, type GraphModel } from "@paligemma/graph";
import type * as Ort from "onnxruntime-common";
import { checkArray } from "../checks.ts";
import { RUN_OPTIONS } from "../compile.ts";
import { gpuFormat } from "../formats.ts";
import type { GpuParts } from "./parts.ts";
import type { Block } from "./pool.ts";
import { knownShape, namedSizes } from "./shapes.ts";
import type { Compiled } from "./session.ts";
import { GpuTensor } from "./tensor.ts";
import type { Copy, Span } from "./transfer.ts";

/** An output that was asked for, on its way to where it goes. */
interface Asked {
  readonly name: string;
  readonly dtype: DType;
  readonly place: "host" | "device" | "into";
  readonly target: GpuTensor | undefined;
  /** Where the runtime writes it; absent where its size is not known before, or zero. */
  readonly block: Block | undefined;
}

/**
 * One run. It takes hold of everything that it needs when it is asked for, so that the caller may let go of it, and lets go
 * when it is over.
 */
export class GpuRun {
  readonly #parts: GpuParts;
  readonly #model: GraphModel;
  readonly #compiled: Compiled;
  readonly #inputs: Record<string, Ort.Tensor> = {};
  readonly #outputs: Record<string, Ort.Tensor | null> = {};
  readonly #asked: Asked[] = [];
  readonly #held: Block[] = [];
  /** Copies that bring windows to the start of a buffer, where the runtime wants its inputs. */
  readonly #before: Copy[] = [];
  /** Buffers that the run reads: nothing may be written there before it is over. */
  readonly #read = new Set<GPUBuffer>();

  constructor(
    parts: GpuParts,
    model: GraphModel,
    compiled: Compiled,
    { feeds, options }: { readonly feeds: Feeds; readonly options: RunOptions },
  ) {
    this.#parts = parts;
    this.#model = model;
    this.#compiled = compiled;
    const sizes = namedSizes(model, feeds);
    try {
      for (const { name, dtype } of model.inputs) {
        const tensor = this.#feed(name, dtype, feeds[name]!);
        if (compiled.inputs.has(name)) this.#inputs[name] = tensor;
      }
      for (const [dimension, name] of compiled.sizes) this.#inputs[name] = this.#size(sizes.get(dimension)!);
      this.#askAll(sizes, options);
    } catch (error) {
      this.end();
      throw error;
    }
  }

  #feed(name: string, dtype: DType, fed: NdArray | Tensor): Ort.Tensor {
    const { ort } = this.#parts.runtime;
    const dims = [...fed.shape];
    const tensor = isTensor(fed) ? GpuTensor.of(this.#parts.owner, fed, name) : undefined;
    if (!isTensor(fed)) checkArray(fed, name);
    const format = gpuFormat(dtype);
    const bytes = bytesFor(dtype, sizeOf(dims));
    if (bytes === 0) return new ort.Tensor(format, allocate(dtype, 0) as never, dims);
    const buffer = tensor ? this.#bufferOf(tensor) : this.#upload(fed as NdArray);
    return ort.Tensor.fromGpuBuffer(buffer, { dataType: format, dims });
  }

  /** Sizes stay on the host: shapes are worked out there. */
  #size(size: number): Ort.Tensor {
    return new this.#parts.runtime.ort.Tensor("int64", BigInt64Array.of(BigInt(size)), [1]);
  }

  #upload({ data }: NdArray): GPUBuffer {
    const { buffer } = this.#take(data.byteLength);
    this.#parts.transfer.write(buffer, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return buffer;
  }

  #bufferOf({ block, offset, bytes }: GpuTensor): GPUBuffer {
    const { buffer } = this.#hold(block!);
    if (offset === 0) {
      this.#read.add(buffer);
      return buffer;
    }
    const start = this.#take(bytes).buffer;
    this.#before.push({ from: { buffer, offset, bytes }, to: { buffer: start, offset: 0, bytes } });
    return start;
  }

  #askAll(sizes: ReadonlyMap<string, number>, { host = [], device = [], into = {} }: RunOptions): void {
    for (const name of host) this.#ask(name, "host", sizes);
    for (const name of device) this.#ask(name, "device", sizes);
    for (const [name, target] of Object.entries(into))
      this.#ask(name, "into", sizes, GpuTensor.of(this.#parts.owner, target, name));
  }

  #ask(name: string, place: Asked["place"], sizes: ReadonlyMap<string, number>, target?: GpuTensor): void {
    const port = this.#model.outputs.find((output) => output.name === name)!;
    const { dtype } = port;
    const shape = knownShape(port, sizes);
    const bytes = shape ? bytesFor(dtype, sizeOf(shape)) : 0;
    if (target?.block) this.#hold(target.block);
    const block = bytes > 0 ? this.#room(bytes, target) : undefined;
    this.#asked.push({ name, dtype, place, target, block });
    this.#outputs[name] = block
      ? this.#parts.runtime.ort.Tensor.fromGpuBuffer(block.buffer, { dataType: gpuFormat(dtype), dims: [...shape!] })
      : null;
  }

  /** The target's own buffer where the run can write there directly, else one to copy from. */
  #room(bytes: number, target: GpuTensor | undefined): Block {
    const direct = target?.offset === 0 && !this.#read.has(target.block!.buffer);
    return direct ? target.block! : this.#take(bytes);
  }

  #take(bytes: number): Block {
    const { block } = this.#parts.pool.storage(bytes);
    this.#held.push(block);
    return block;
  }

  #hold(block: Block): Block {
    this.#held.push(block.hold());
    return block;
  }

  /** Runs the graph and brings the outputs to where they were asked for. */
  async execute(): Promise<RunResult> {
    const { transfer, counts } = this.#parts;
    const { session, weights } = this.#compiled;
    await transfer.copy(this.#before);
    const results = await session.run({ ...this.#inputs, ...weights }, this.#outputs, RUN_OPTIONS);
    counts.runs++;
    const device: Record<string, Tensor> = {};
    const moves: Copy[] = [];
    const reads: { readonly asked: Asked; readonly shape: readonly number[]; readonly span: Span }[] = [];
    for (const asked of this.#asked) {
      const result = results[asked.name]!;
      const shape = result.dims;
      const span = this.#spanOf(asked, result);
      if (asked.place === "host") reads.push({ asked, shape, span });
      else if (asked.place === "into") moves.push(...this.#into(asked, span, shape));
      else device[asked.name] = this.#keep(asked, span, shape, moves);
    }
    await transfer.copy(moves);
    const arrays = await transfer.read(reads.map(({ span }) => span));
    const host = reads.map(
      ({ asked: { name, dtype }, shape }, i) => [name, { dtype, shape, data: viewAs(dtype, arrays[i]!) }] as const,
    );
    return { host: Object.fromEntries(host), device };
  }

  /** Where an output lies: in the buffer that was made for it; else it came out on the host and goes to a new one. */
  #spanOf({ dtype, block }: Asked, result: Ort.Tensor): Span {
    const bytes = bytesFor(dtype, sizeOf(result.dims));
    if (block || bytes === 0) return { buffer: block?.buffer, offset: 0, bytes };
    const { buffer } = this.#take(bytes);
    const data = result.data as Exclude<Ort.Tensor.DataType, string[]>;
    this.#parts.transfer.write(buffer, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return { buffer, offset: 0, bytes };
  }

  #into({ name, target, block }: Asked, from: Span, shape: readonly number[]): Copy[] {
    if (shape.join() !== target!.shape.join()) {
      throw new PaliGemmaError(
        "backend/run",
        `${name} came out as ${formatShape(shape)}, the tensor to write it into is ${formatShape(target!.shape)}`,
      );
    }
    const to = target!.block;
    if (!to || block === to) return [];
    return [{ from, to: { buffer: to.buffer, offset: target!.offset, bytes: from.bytes } }];
  }

  #keep({ dtype, block }: Asked, from: Span, shape: readonly number[], moves: Copy[]): GpuTensor {
    const { owner, pool } = this.#parts;
    if (from.bytes === 0) return new GpuTensor(owner, dtype, shape, undefined);
    if (block) return new GpuTensor(owner, dtype, shape, block.hold());
    const own = pool.storage(from.bytes).block;
    moves.push({ from, to: { buffer: own.buffer, offset: 0, bytes: from.bytes } });
    return new GpuTensor(owner, dtype, shape, own);
  }

  /** Lets go of everything that was held for this run. */
  end(): void {
    for (const block of this.#held.splice(0)) block.release();
  }
}
