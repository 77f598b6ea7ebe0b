import {
  PaliGemmaError,
  isPaliGemmaError,
  type DType,
  type ErrorCode,
  type NdArray,
  type Progress,
} from "@paligemma/core";
import type { GraphModel } from "@paligemma/graph";
import type { WebGpuOptions } from "../options.ts";

/** A tensor of the worker, or a window on one: the row ranges are taken one after another. */
export interface TensorPlace {
  readonly tensor: number;
  readonly windows: readonly (readonly [start: number, end: number])[];
}

/** A host array, or a tensor that is in the worker. */
export type FedPlace = NdArray | TensorPlace;

/** What the worker is asked for; every call is answered by an `Answer` of the same `id`. */
export type Call =
  | { readonly kind: "create"; readonly options: WebGpuOptions | undefined }
  | { readonly kind: "compile"; readonly session: number; readonly model: GraphModel }
  | {
      readonly kind: "run";
      readonly session: number;
      readonly feeds: Readonly<Record<string, FedPlace>>;
      readonly host: readonly string[];
      /** Output names and the numbers of the new tensors. */
      readonly device: readonly (readonly [name: string, tensor: number])[];
      readonly into: readonly (readonly [name: string, place: TensorPlace])[];
    }
  | { readonly kind: "allocate"; readonly tensor: number; readonly dtype: DType; readonly shape: readonly number[] }
  | { readonly kind: "upload"; readonly tensor: number; readonly array: NdArray }
  | { readonly kind: "download"; readonly from: TensorPlace }
  | { readonly kind: "copy"; readonly from: TensorPlace; readonly to: TensorPlace }
  | { readonly kind: "release"; readonly session: number }
  | { readonly kind: "stats" }
  | { readonly kind: "dispose" };

/** Messages to the worker. */
export type ToWorker =
  | { readonly kind: "call"; readonly id: number; readonly call: Call }
  /** The caller of `id` no longer waits. */
  | { readonly kind: "abort"; readonly id: number }
  | { readonly kind: "free"; readonly tensor: number }
  /** Answer to `read`. */
  | { readonly kind: "bytes"; readonly read: number; readonly bytes?: Uint8Array; readonly fault?: Fault };

/** Messages from the worker. */
export type FromWorker =
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "fault"; readonly id: number; readonly fault: Fault }
  | { readonly kind: "progress"; readonly id: number; readonly progress: Progress }
  /** The worker needs bytes `[start, end)` of a source, which only the page can read. */
  | {
      readonly kind: "read";
      readonly read: number;
      readonly source: number;
      readonly start: number;
      readonly end: number;
    };

/** What the page learns when the backend is there. */
export interface Created {
  readonly name: string;
  readonly target: GraphModel["target"];
}

/** What a run answers: host arrays, and formats and shapes of the new tensors. */
export interface Ran {
  readonly host: Readonly<Record<string, NdArray>>;
  readonly device: Readonly<Record<string, { readonly dtype: DType; readonly shape: readonly number[] }>>;
}

/** An error on its way between threads. */
export interface Fault {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  /** What the cause said. */
  readonly cause?: string;
}

/** An error as data. */
export function faultOf(error: unknown): Fault {
  if (!isPaliGemmaError(error)) return { code: undefined, message: textOf(error) };
  const message = error.message.slice(error.code.length + 2);
  return { code: error.code, message, ...(error.cause !== undefined && { cause: textOf(error.cause) }) };
}

/** The error that a fault was made of; what was no error of ours is `backend/worker`. */
export function errorOf({ code, message, cause }: Fault): PaliGemmaError {
  return new PaliGemmaError(code ?? "backend/worker", message, cause === undefined ? {} : { cause: new Error(cause) });
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True for a place in the worker, false for an array. */
export function isPlace(fed: FedPlace): fed is TensorPlace {
  return "windows" in fed;
}

/** Buffers of host arrays, to be moved instead of copied. */
export function buffersOf(arrays: Readonly<Record<string, NdArray>>): ArrayBuffer[] {
  return [...new Set(Object.values(arrays).map(({ data }) => data.buffer as ArrayBuffer))];
}
