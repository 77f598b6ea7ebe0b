import { viewAs, type ArrayTypes, type DType } from "@paligemma/core";
import type * as Runtime from "onnxruntime-node";
import { IN_PAYLOAD, TO_DEVICE, TO_HOST, type MovingRun, type RunNumbers, type Slot } from "./protocol.ts";

export type Data = ArrayTypes[DType];

/** A session of the runtime. */
export interface Compiled {
  readonly runtime: Runtime.InferenceSession;
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
}

/** A run, as the runtime takes it. */
export interface Prepared {
  readonly runtime: Runtime.InferenceSession;
  readonly fed: Record<string, Runtime.Tensor>;
  readonly wanted: Record<string, Runtime.Tensor | null>;
  /** Outputs that are handed back, and the new tensor that each becomes, if any. */
  readonly returned: readonly { readonly slot: Slot; readonly device: number | undefined }[];
  /** Outputs that are written into tensors of the store. */
  readonly kept: ReadonlySet<string>;
  readonly moving: readonly MovingWindow[];
}

/**
 * Runs whose windows are made at once: between two runs of a large model all caches are full of weights, and what is done there takes
 * ten times as long as in a loop.
 */
const AT_ONCE = 64;

/** Part of a tensor of the store. */
interface Window {
  readonly slot: Slot;
  readonly data: Data;
  readonly start: number;
  readonly slots: number;
  readonly dims: number[];
}

/** A window that is further on in each of several runs. */
class MovingWindow {
  readonly #see: (start: number) => Runtime.Tensor;
  readonly #name: string;
  readonly #step: number;
  readonly #given: Record<string, Runtime.Tensor | null>;
  #start: number;
  /** What is seen in the next runs, the last first. */
  #next: Runtime.Tensor[] = [];

  constructor(
    { slot, start }: Window,
    step: number,
    given: Record<string, Runtime.Tensor | null>,
    see: (start: number) => Runtime.Tensor,
  ) {
    this.#name = slot.name;
    this.#start = start;
    this.#step = step;
    this.#given = given;
    this.#see = see;
  }

  /** Gives the runtime what is seen in the next run, of so many that are left. */
  moveOn(left: number): void {
    if (this.#next.length === 0) {
      const runs = Math.min(left, AT_ONCE);
      this.#next = Array.from({ length: runs }, (_, i) => this.#see(this.#start + (runs - i) * this.#step));
      this.#start += runs * this.#step;
    }
    this.#given[this.#name] = this.#next.pop()!;
  }
}

/** Reads what a run is of, and looks up everything that the runtime is given. `dataOf` throws for a tensor that is not in the store. */
export function prepareRun(
  numbers: RunNumbers | MovingRun,
  { runtime, inputs, outputs }: Compiled,
  dataOf: (tensor: number) => Data,
  TensorClass: typeof Runtime.Tensor,
): Prepared {
  const { feeds, fetches, payload } = numbers;
  const moves = "feedMoves" in numbers ? numbers : { feedMoves: [], fetchMoves: [] };
  const tensor = (dtype: DType, data: Data, dims: number[]): Runtime.Tensor =>
    new TensorClass(dtype as "float32", data as Float32Array, dims);
  const dimensions = (list: Float64Array, at: number): number[] => [...list.subarray(at + 1, at + 1 + list[at]!)];
  const moving: MovingWindow[] = [];

  /** The window that a list describes: tensor, first slot, slots, rank and dimensions. */
  function window(slot: Slot, list: Float64Array, at: number): Window {
    const [id, start, slots] = [list[at]!, list[at + 1]!, list[at + 2]!];
    return { slot, data: dataOf(id), start, slots, dims: dimensions(list, at + 3) };
  }

  function give(given: Record<string, Runtime.Tensor | null>, seen: Window, step = 0): void {
    const { slot, data, start, slots, dims } = seen;
    const see = (from: number): Runtime.Tensor => tensor(slot.dtype, data.subarray(from, from + slots), dims);
    given[slot.name] = see(start);
    if (step > 0) moving.push(new MovingWindow(seen, step, given, see));
  }

  const fed: Record<string, Runtime.Tensor> = {};
  let at = 0;
  inputs.forEach((slot, place) => {
    if (feeds[at] === IN_PAYLOAD) {
      const bytes = new Uint8Array(payload!, feeds[at + 1], feeds[at + 2]);
      fed[slot.name] = tensor(slot.dtype, viewAs(slot.dtype, bytes), dimensions(feeds, at + 3));
    } else give(fed, window(slot, feeds, at), moves.feedMoves[place]);
    at += 4 + feeds[at + 3]!;
  });

  const wanted: Record<string, Runtime.Tensor | null> = {};
  const returned: { readonly slot: Slot; readonly device: number | undefined }[] = [];
  const kept = new Set<string>();
  at = 0;
  for (let place = 0; at < fetches.length; place++) {
    const slot = outputs[fetches[at]!]!;
    const to = fetches[at + 1]!;
    if (to === TO_HOST || to === TO_DEVICE) {
      wanted[slot.name] = null;
      returned.push({ slot, device: to === TO_DEVICE ? fetches[at + 2]! : undefined });
      at += to === TO_DEVICE ? 3 : 2;
    } else {
      kept.add(slot.name);
      give(wanted, window(slot, fetches, at + 2), moves.fetchMoves[place]);
      at += 6 + fetches[at + 5]!;
    }
  }
  return { runtime, fed, wanted, returned, kept, moving };
}
