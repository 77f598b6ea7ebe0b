import type { Tensor } from "@paligemma/backend";
import { bytesFor, sizeOf, type DType } from "@paligemma/core";
import { foreign, gone, rowsShape } from "../checks.ts";
import type { Block } from "./pool.ts";

/** What tensors know of their backend. */
export interface TensorOwner {
  closed(): boolean;
}

/** What a window is a window on, and where it begins there, in bytes of the buffer. */
interface WindowOn {
  readonly root: GpuTensor;
  readonly offset: number;
}

/** An array in a GPU buffer, or a window on one. A tensor without elements has no buffer. */
export class GpuTensor implements Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: number;
  readonly #owner: TensorOwner;
  readonly #block: Block | undefined;
  readonly #offset: number;
  readonly #root: GpuTensor;
  #disposed = false;

  constructor(owner: TensorOwner, dtype: DType, shape: readonly number[], block: Block | undefined, window?: WindowOn) {
    this.#owner = owner;
    this.dtype = dtype;
    this.shape = shape;
    this.bytes = bytesFor(dtype, sizeOf(shape));
    this.#block = block;
    this.#offset = window?.offset ?? 0;
    this.#root = window?.root ?? this;
  }

  /** The tensor as one of `owner`'s, still there; throws `backend/foreign` or `backend/disposed` otherwise. */
  static of(owner: TensorOwner, tensor: Tensor, what: string): GpuTensor {
    if (!(tensor instanceof GpuTensor) || tensor.#owner !== owner) throw foreign(what);
    tensor.#check(what);
    return tensor;
  }

  /** The buffer, absent where there are no elements. */
  get block(): Block | undefined {
    return this.bytes === 0 ? undefined : this.#block;
  }

  /** Where the array begins in the buffer, in bytes. */
  get offset(): number {
    return this.#offset;
  }

  rows(start: number, end: number): GpuTensor {
    this.#check("rows");
    const shape = rowsShape(this.shape, start, end);
    const offset = this.#offset + bytesFor(this.dtype, start * sizeOf(shape.slice(1)));
    return new GpuTensor(this.#owner, this.dtype, shape, this.#block, { root: this.#root, offset });
  }

  dispose(): void {
    if (this.#root !== this || this.#disposed) return;
    this.#disposed = true;
    this.#block?.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #check(what: string): void {
    if (this.#root.#disposed || this.#owner.closed()) throw gone(what);
  }
}
