import type { Tensor } from "@paligemma/backend";
import { bitsOf, sizeOf, type ArrayTypes, type DType, type NdArray } from "@paligemma/core";
import { foreign, gone, rowsShape } from "../checks.ts";
import type { TensorOwner } from "../gpu/tensor.ts";

/** An array in the memory of this thread, or a window on one. */
export class HostTensor implements Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: ArrayTypes[DType];
  readonly #owner: TensorOwner;
  readonly #root: HostTensor;
  #disposed = false;

  constructor(owner: TensorOwner, { dtype, shape, data }: NdArray, root?: HostTensor) {
    this.dtype = dtype;
    this.shape = shape;
    this.data = data;
    this.#owner = owner;
    this.#root = root ?? this;
  }

  /** The tensor as one of `owner`'s, still there; throws `backend/foreign` or `backend/disposed` otherwise. */
  static of(owner: TensorOwner, tensor: Tensor, what: string): HostTensor {
    if (!(tensor instanceof HostTensor) || tensor.#owner !== owner) throw foreign(what);
    tensor.#check(what);
    return tensor;
  }

  rows(start: number, end: number): HostTensor {
    this.#check("rows");
    const shape = rowsShape(this.shape, start, end);
    const width = sizeOf(shape.slice(1)) / (bitsOf(this.dtype) === 4 ? 2 : 1);
    const data = this.data.subarray(start * width, Math.ceil(end * width));
    return new HostTensor(this.#owner, { dtype: this.dtype, shape, data }, this.#root);
  }

  dispose(): void {
    if (this.#root === this) this.#disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #check(what: string): void {
    if (this.#root.#disposed || this.#owner.closed()) throw gone(what);
  }
}

/** A copy of an array. */
export function copyOf({ dtype, shape, data }: NdArray): NdArray {
  return { dtype, shape, data: data.slice() };
}

/** The bytes of an array, not copied. */
export function bytesOf({ data }: NdArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Overwrites `to`, which is of the same type and shape. */
export function write(from: NdArray, to: NdArray): void {
  bytesOf(to).set(bytesOf(from));
}
