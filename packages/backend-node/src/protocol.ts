import type { DType } from "@paligemma/core";
import type { GraphProfile } from "./profile.ts";
import type { ResultRing } from "./result-ring.ts";
import type { Unpacking } from "./unpacker.ts";

/** Name and format of an input or output of a session. */
export interface Slot {
  readonly name: string;
  readonly dtype: DType;
}

/** Bytes that go to the runtime with the model, because they are no file that it can map. */
export interface Handed {
  readonly path: string;
  readonly data: Uint8Array;
}

/** In a run's list of feeds: the array lies in the message, not in the store. */
export const IN_PAYLOAD = -1;

/** In a run's list of fetches: the output is sent back. */
export const TO_HOST = 0;
/** In a run's list of fetches: the output becomes a tensor of the store. */
export const TO_DEVICE = 1;
/** In a run's list of fetches: the output is written into a tensor of the store. */
export const TO_TENSOR = 2;

/** A graph to be compiled. */
export interface CompileRequest {
  readonly kind: "compile";
  readonly id: number;
  readonly session: number;
  /** The graph, or the path of one that the runtime wrote itself. */
  readonly model: Uint8Array | string;
  readonly handed: readonly Handed[];
  readonly options: object;
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
  /** Folder that the runtime writes a profile of the session to. */
  readonly profile?: string | undefined;
}

/** What a run is of, as flat arrays of numbers: they cross threads many times faster than objects and lists do. */
export interface RunNumbers {
  readonly session: number;
  /** For each input, in order: tensor, first slot, slots, rank, dimensions. For `IN_PAYLOAD` the first byte stands for the first slot. */
  readonly feeds: Float64Array<ArrayBuffer>;
  /** For each output asked for: its index, `TO_…`, and for `TO_DEVICE` the tensor, for `TO_TENSOR` tensor, first slot, slots, rank, dimensions. */
  readonly fetches: Float64Array<ArrayBuffer>;
  /** Arrays of the caller, each at a multiple of 8 bytes. */
  readonly payload?: ArrayBuffer;
}

/** A run. */
export interface RunRequest extends RunNumbers {
  readonly kind: "run";
  readonly id: number;
}

/** A run of several. */
export interface MovingRun extends RunNumbers {
  /** Slots from one run to the next, for each input, and for each output in the order of `fetches`. 0 where nothing moves. */
  readonly feedMoves: Float64Array<ArrayBuffer>;
  readonly fetchMoves: Float64Array<ArrayBuffer>;
}

/** A run to be repeated; the last is answered, and those before it where there is no `ring`. */
export interface RepeatRequest extends MovingRun {
  readonly kind: "repeat";
  readonly id: number;
  /** What follows each run, and is answered in its place. */
  readonly followedBy?: MovingRun;
  /** Runs still to be done. */
  left: number;
  /**
   * It ends once every element of this buffer, among those that come to the host, has been one of `values`, or any is one of `atOnce`.
   */
  readonly until?: {
    readonly buffer: number;
    readonly dtype: DType;
    readonly values: readonly number[];
    readonly atOnce: readonly number[];
  };
  /** Where the results of all runs but the last go, if their size is known. */
  readonly ring?: ResultRing;
}

/** Matrices of files to become panels: tensors of the store, which are all theirs. */
export interface RequantizeRequest {
  readonly kind: "requantize";
  readonly id: number;
  readonly work: readonly Pick<Unpacking, "from" | "tensors">[];
}

/** What the worker is asked for; answered by a `Reply` with the same `id` where there is one. */
export type Request =
  | CompileRequest
  | RunRequest
  | RepeatRequest
  | {
      readonly kind: "allocate";
      readonly id: number;
      readonly tensor: number;
      readonly dtype: DType;
      readonly count: number;
    }
  | {
      readonly kind: "upload";
      readonly id: number;
      readonly tensor: number;
      readonly dtype: DType;
      readonly bytes: ArrayBuffer;
    }
  | {
      readonly kind: "download";
      readonly id: number;
      readonly tensor: number;
      readonly start: number;
      readonly slots: number;
    }
  | CopyRequest
  | RequantizeRequest
  | { readonly kind: "release"; readonly id: number; readonly session: number }
  | { readonly kind: "free"; readonly tensor: number }
  /** Ends the profile of a session, and asks for it. */
  | { readonly kind: "profile"; readonly id: number; readonly session: number }
  /** Asks how much there is. */
  | { readonly kind: "count"; readonly id: number }
  /** Drops the request `id` if it has not begun: overtakes what waits. Not answered itself. */
  | { readonly kind: "cancel"; readonly id: number }
  /** Frees everything and ends the worker: overtakes what waits. */
  | { readonly kind: "close" };

/** Slots of one tensor to be written over those of another. */
export interface CopyRequest {
  readonly kind: "copy";
  readonly id: number;
  readonly from: number;
  readonly fromStart: number;
  readonly to: number;
  readonly toStart: number;
  readonly slots: number;
}

/** An error on its way between threads. */
export interface Fault {
  readonly code: "backend/compile" | "backend/run" | "backend/memory" | "backend/changed" | "backend/worker";
  readonly text: string;
}

/** What the worker answers. `shapes` and `buffers` are those of the outputs to the host or the device, in the order asked for. */
export type Reply =
  | { readonly kind: "done"; readonly id: number }
  | { readonly kind: "bytes"; readonly id: number; readonly bytes: ArrayBuffer }
  | {
      readonly kind: "ran";
      readonly id: number;
      readonly shapes: readonly (readonly number[])[];
      readonly buffers: readonly ArrayBuffer[];
      /** Others follow with the same `id`. */
      readonly more?: true;
    }
  | {
      readonly kind: "counted";
      readonly id: number;
      readonly tensors: number;
      readonly tensorBytes: number;
      readonly sessions: number;
      readonly runMilliseconds: number;
      readonly unpackMilliseconds: number;
      readonly unpackings: number;
    }
  | { readonly kind: "profiled"; readonly id: number; readonly profile: Omit<GraphProfile, "graph"> }
  | { readonly kind: "failed"; readonly id: number; readonly fault: Fault }
  /** Cancelled before it began. */
  | { readonly kind: "dropped"; readonly id: number };

/** First message of a worker: the runtime is loaded, or why not. */
export type Greeting =
  | { readonly kind: "ready"; readonly protocol: number; readonly version: string }
  | { readonly kind: "broken"; readonly text: string };

/**
 * Two flags in memory that both threads see. A thread that ends while the runtime works for it takes the process down, so
 * whoever wants to end first sets `STOP`, then waits until `BUSY` is 0.
 */
export type Flags = Int32Array<SharedArrayBuffer>;
/** 1 while a request is carried out. */
export const BUSY = 0;
/** 1 when no further request may begin. */
export const STOP = 1;

/** What the worker is started with. */
export interface WorkerData {
  readonly flags: Flags;
  /** Threads that its own work is spread over, itself included. */
  readonly threads: number;
}

/** Counted up when messages change, so that the worker of an older build is noticed. */
export const PROTOCOL = 9;
