import type { Tensor } from "@paligemma/backend";
import type { DType } from "@paligemma/core";
import { foreign, gone, rowsShape } from "../checks.ts";
import type { Link } from "./link.ts";
import type { TensorPlace } from "./protocol.ts";

/** A tensor that lives in a worker, or a window on one. */
export class RemoteTensor implements Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly number: number;
  readonly #link: Link;
  readonly #windows: TensorPlace["windows"];
  readonly #root: RemoteTensor;
  #disposed = false;

  constructor(
    link: Link,
    dtype: DType,
    shape: readonly number[],
    {
      number = link.tensorNumber(),
      windows = [],
      root,
    }: { readonly number?: number; readonly windows?: TensorPlace["windows"]; readonly root?: RemoteTensor } = {},
  ) {
    this.#link = link;
    this.dtype = dtype;
    this.shape = shape;
    this.number = number;
    this.#windows = windows;
    this.#root = root ?? this;
  }

  /** Where a tensor of this link's worker is; throws `backend/foreign` for another's, `backend/disposed` for one that is gone. */
  static placeOf(link: Link, tensor: Tensor, what: string): TensorPlace {
    if (!(tensor instanceof RemoteTensor) || tensor.#link !== link) throw foreign(what);
    tensor.#check(what);
    return { tensor: tensor.number, windows: tensor.#windows };
  }

  rows(start: number, end: number): RemoteTensor {
    this.#check("rows");
    const shape = rowsShape(this.shape, start, end);
    const windows = [...this.#windows, [start, end] as const];
    return new RemoteTensor(this.#link, this.dtype, shape, { number: this.number, windows, root: this.#root });
  }

  dispose(): void {
    if (this.#root !== this || this.#disposed) return;
    this.#disposed = true;
    this.#link.free(this.number);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #check(what: string): void {
    if (this.#root.#disposed || this.#link.closed) throw gone(what);
  }
}
