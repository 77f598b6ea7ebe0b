import { bitsOf, PaliGemmaError, sizeOf, type DType } from "@paligemma/core";
import { formatShape } from "@paligemma/graph";
import type { Tensor } from "@paligemma/backend";
import type { WorkerLink } from "./link.ts";

/** A tensor of the worker's store, shared by all windows on it. */
interface Block {
  readonly link: WorkerLink;
  readonly id: number;
  /** Slots of all of it. */
  readonly slots: number;
  live: boolean;
}

/** Slots of a typed array that hold a shape: 4-bit elements lie two to a slot. */
export function slotsOf(dtype: DType, shape: readonly number[]): number {
  return bitsOf(dtype) === 4 ? Math.ceil(sizeOf(shape) / 2) : sizeOf(shape);
}

/** A window on an array of the worker. */
export class NodeTensor implements Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** First slot in the block's typed array. */
  readonly start: number;
  readonly slots: number;
  readonly #block: Block;
  readonly #owns: boolean;

  private constructor(block: Block, dtype: DType, shape: readonly number[], start: number, owns: boolean) {
    this.#block = block;
    this.dtype = dtype;
    this.shape = shape;
    this.start = start;
    this.slots = slotsOf(dtype, shape);
    this.#owns = owns;
  }

  /** The whole of the array `id` of the worker behind `link`. */
  static of(link: WorkerLink, id: number, dtype: DType, shape: readonly number[]): NodeTensor {
    return new NodeTensor({ link, id, slots: slotsOf(dtype, shape), live: true }, dtype, shape, 0, true);
  }

  /** Number of the array in the worker's store. */
  get id(): number {
    return this.#block.id;
  }

  /** Throws where the tensor belongs to another backend or is gone; `role` says what it was to be used as. */
  static use(tensor: Tensor, link: WorkerLink, role: string): NodeTensor {
    if (!(tensor instanceof NodeTensor) || tensor.#block.link !== link) {
      throw new PaliGemmaError(
        "backend/foreign",
        `${role} is a tensor of another backend; download it there and upload it here`,
      );
    }
    tensor.#mustLive(role);
    return tensor;
  }

  #mustLive(role: string): void {
    if (!this.#block.live || this.#block.link.closed) {
      throw new PaliGemmaError(
        "backend/disposed",
        `${role} ${formatShape(this.shape)} was disposed, or its backend was; keep it until its last use has begun`,
      );
    }
  }

  rows(start: number, end: number): Tensor {
    this.#mustLive("the tensor");
    const rows = this.shape[0];
    if (
      rows === undefined ||
      !Number.isInteger(start) ||
      !Number.isInteger(end) ||
      start < 0 ||
      end < start ||
      end > rows
    ) {
      throw new PaliGemmaError(
        "backend/range",
        `rows [${start}, ${end}) of a tensor ${formatShape(this.shape)}: rows must be whole and lie in [0, ${rows ?? 0}]`,
      );
    }
    const shape = [end - start, ...this.shape.slice(1)];
    const skipped = [start, ...this.shape.slice(1)];
    if (bitsOf(this.dtype) === 4 && sizeOf(skipped) % 2 === 1) {
      throw new PaliGemmaError(
        "backend/range",
        `rows of a ${this.dtype} tensor ${formatShape(this.shape)} must begin at a whole byte, row ${start} does not`,
      );
    }
    return new NodeTensor(this.#block, this.dtype, shape, this.start + slotsOf(this.dtype, skipped), false);
  }

  /** True where there is nothing else in its memory. */
  get isWhole(): boolean {
    return this.start === 0 && this.slots === this.#block.slots;
  }

  /** First slot, slots, rank and dimensions, as a run sees them. */
  get window(): readonly number[] {
    return [this.start, this.slots, this.shape.length, ...this.shape];
  }

  /**
   * Slots from one run to the next of `times` whose window is so many rows further on each time. Throws `backend/range` where the last
   * would see more than there is.
   */
  step(name: string, rows: number, times: number): number {
    const { dtype, start, slots, shape } = this;
    if (bitsOf(dtype) === 4)
      throw new PaliGemmaError("backend/range", `${name} is ${dtype}, whose rows share bytes; only whole bytes move`);
    const step = slotsOf(dtype, [rows, ...shape.slice(1)]);
    if (start + slots + (times - 1) * step > this.#block.slots)
      throw new PaliGemmaError(
        "backend/range",
        `${name} ${formatShape(shape)} cannot move on ${times - 1} times: its tensor ends before; make room, or ask for fewer runs`,
      );
    return step;
  }

  dispose(): void {
    if (!this.#owns || !this.#block.live) return;
    this.#block.live = false;
    this.#block.link.post({ kind: "free", tensor: this.#block.id });
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
