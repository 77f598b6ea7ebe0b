import type { DType, NdArray, OnProgress } from "@paligemma/core";
import type { GraphModel, Target } from "@paligemma/graph";
import { panelRows, type QuantizedTensor, type TensorRef } from "@paligemma/weights";

/**
 * An array that lives where the backend keeps its arrays (the memory of its worker, or of the GPU). Owned by whoever got
 * it; `dispose` frees it, and using it afterwards is an error.
 */
export interface Tensor extends Disposable {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /**
   * Rows `[start, end)` along the first axis, as a window on the same memory: writing one shows in the other. Disposing a
   * window does nothing; a window ends with its tensor.
   */
  rows(start: number, end: number): Tensor;
  dispose(): void;
}

/** What a graph is fed: an array of the caller (copied in, or moved if the backend wants it) or a tensor that is there. */
export type Feeds = Readonly<Record<string, NdArray | Tensor>>;

/** Where the outputs of one run go. An output named nowhere is computed but not handed out. */
export interface RunOptions {
  /** Outputs to bring to the caller as arrays. */
  readonly host?: readonly string[];
  /** Outputs to leave on the device as new tensors, which the caller disposes. */
  readonly device?: readonly string[];
  /** Outputs to write into tensors that exist (a window of a cache, say), of exactly the output's type and shape. */
  readonly into?: Readonly<Record<string, Tensor>>;
  /** Aborted before or during the run: the run rejects with `signal.reason`, what was running is left to end by itself. */
  readonly signal?: AbortSignal;
}

/** What a run handed out. */
export interface RunResult {
  readonly host: Readonly<Record<string, NdArray>>;
  readonly device: Readonly<Record<string, Tensor>>;
}

/** How often a run is repeated, where its outputs go, and what is different from one to the next. */
export interface RepeatOptions {
  /** At least 1. */
  readonly times: number;
  /** Outputs to bring to the caller as arrays, after every run. */
  readonly host: readonly string[];
  /** Outputs to write into tensors; they may be among `host` as well. */
  readonly into?: Readonly<Record<string, Tensor>>;
  /** Inputs, and outputs of `into`, whose tensor is a window that moves on: by so many rows from one run to the next. */
  readonly moves?: Readonly<Record<string, number>>;
  /**
   * Ends after the run with which every element of this output, one of `host`, has been one of `values`, in whichever run, or in which any
   * is one of `atOnce` (none unless told).
   */
  readonly until?: { readonly output: string; readonly values: readonly number[]; readonly atOnce?: readonly number[] };
  /**
   * Results are handed over so many at a time, and those that are left with the last; default 1. Each handing over wakes the
   * caller's thread, which takes its turn on a processor that computes.
   */
  readonly together?: number;
  /** What runs after each run, on what that has written, and hands out the results in its place: `host` and `until` are of its outputs. */
  readonly followedBy?: FollowingRun | undefined;
  /** Aborted at any time: the next result rejects with `signal.reason`. */
  readonly signal?: AbortSignal;
}

/** A run that follows each of those that are repeated. */
export interface FollowingRun extends Pick<RepeatOptions, "into" | "moves"> {
  /** Of the same backend. */
  readonly session: Session;
  readonly feeds: Feeds;
}

/** A compiled graph, ready to run. Runs of one session are done one after another, in the order they were asked for. */
export interface Session extends AsyncDisposable {
  readonly model: GraphModel;
  run(feeds: Feeds, options: RunOptions): Promise<RunResult>;
  /**
   * Runs again and again without the caller in between, each run finding what those before it wrote; a result for each. Other
   * runs that were asked for take their turns. `return` ends it: a run that is under way then ends by itself. Absent where the
   * backend has nothing to gain by it.
   */
  repeat?(feeds: Feeds, options: RepeatOptions): AsyncGenerator<RunResult, void>;
  dispose(): Promise<void>;
}

/**
 * A matrix that becomes bytes in panels, one scale for each row: what products of many rows are fastest with, and twice as large as
 * blocks of 4 bits, a quarter of float32. A number is off by at most half the scale of its row, which is 1/127 of the largest number
 * that the row has, or, of blocks, can have.
 */
export interface Requantization {
  /** [out, in], which is `requantizable` */
  readonly matrix: QuantizedTensor | TensorRef;
  /** The first row that is wanted; 0 unless told. Of the others, as many as there is room for. */
  readonly start?: number;
  /** int8 [panels, in, rows of a panel], a whole tensor, of `rowsOfPanels` rows; those that the matrix has not become 0. */
  readonly data: Tensor;
  /** float32 [panels, 1, rows of a panel], a whole tensor, as are the two below. */
  readonly scales: Tensor;
  /** Of a matrix of numbers, where they are wanted: int32, the sum of the bytes of each row. */
  readonly sums?: Tensor;
  /** Of a matrix of numbers, where they are wanted: float32, ‖w − scale · bytes‖ of each row w, or a little more. */
  readonly errors?: Tensor;
}

/**
 * True for a matrix in a file that can become panels: 4 bits without zero points in blocks of 32 and more, bytes that are panels
 * already, of as many rows, or float32 or bfloat16.
 */
export function requantizable(matrix: QuantizedTensor | TensorRef): boolean {
  if (isNumbers(matrix)) {
    const { dtype, shape, source } = matrix;
    return shape.length === 2 && (dtype === "float32" || dtype === "bfloat16") && source.path !== undefined;
  }
  const { bits, blockSize, zeroPoints, data, scales, sums } = matrix;
  if (data.source.path === undefined || scales.source !== data.source) return false;
  return sums !== undefined || (bits === 4 && !zeroPoints && blockSize >= 32);
}

/** True for a matrix that is not quantised. */
export function isNumbers(matrix: QuantizedTensor | TensorRef): matrix is TensorRef {
  return "source" in matrix;
}

/** Rows of a panel for a matrix [out, in]; undefined where it cannot be in panels, which are filled eight rows at a time. */
export function rowsOfPanels([out, width]: readonly [number, number]): number | undefined {
  const rows = panelRows({ bits: 8, blockSize: width, zeroPoints: false }, [out, width]);
  return rows !== undefined && rows % 8 === 0 && width % 32 === 0 ? rows : undefined;
}

/** How to compile. */
export interface CompileOptions {
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** Something that runs graphs. */
export interface Backend extends AsyncDisposable {
  /** For messages: "onnxruntime-node 1.30.0 on cpu". */
  readonly name: string;
  readonly target: Target;
  /** Throws `backend/compile` with the runtime's own words as `cause`. */
  compile(model: GraphModel, options?: CompileOptions): Promise<Session>;
  /**
   * Reads matrices and writes them into tensors, in the order it was asked for among runs: what was asked for before sees what was there
   * before. Throws `backend/option`, and `backend/changed` where a file is not what it was. Absent where the device has no products of
   * bytes in panels.
   */
  readonly requantize?: (work: readonly Requantization[]) => Promise<void>;
  /** Zeros on the device. */
  allocate(dtype: DType, shape: readonly number[]): Promise<Tensor>;
  /** A copy of `array` on the device. */
  upload(array: NdArray): Promise<Tensor>;
  /** A copy of `tensor` for the caller. */
  download(tensor: Tensor): Promise<NdArray>;
  /** Copies `from` into `to`; both of one type and shape, and not overlapping. */
  copy(from: Tensor, to: Tensor): Promise<void>;
  /** Frees everything; what still runs rejects with `backend/disposed`. */
  dispose(): Promise<void>;
}

/** How backends are made: throws `backend/unavailable`, saying why and what to do. */
export type CreateBackend<Options> = (options?: Options) => Promise<Backend>;

/** True for a tensor of a backend, false for an array of the host. */
export function isTensor(value: NdArray | Tensor): value is Tensor {
  return "rows" in value;
}
