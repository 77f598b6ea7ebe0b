import type { DType, NdArray } from "@paligemma/core";
import type { ByteSource } from "./byte-source.ts";

/** Where a tensor lies: bytes `[start, end)` of `source`, row-major, little-endian. */
export interface TensorRef {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly source: ByteSource;
  readonly start: number;
  readonly end: number;
}

/** The tensors of one or several files by name. Opening one reads headers only. */
export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, TensorRef>;
  /** Free-form strings of the file's header (`__metadata__`), merged over shards. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The tensor's values; throws `weights/missing` for an unknown name, with the nearest known one. */
  read(name: string, signal?: AbortSignal): Promise<NdArray>;
}
