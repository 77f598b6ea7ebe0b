import type { Reading } from "../record.ts";

/** Formats of training data. */
export type DatasetFormat = "jsonl" | "csv" | "coco" | "voc" | "yolo";

/** Training data on disk; nothing of it is held in memory but its names. */
export interface Dataset {
  readonly format: DatasetFormat;
  /** The file or folder it was opened from. */
  readonly path: string;
  /** Folder that the paths of images start from. */
  readonly images: string;
  /** How many records there are, bad ones included, as far as can be told without reading them. */
  count(signal?: AbortSignal): Promise<number>;
  /** The names of its classes, where it has classes: as it lists them, or in order of appearance. */
  classes(signal?: AbortSignal): Promise<readonly string[] | undefined>;
  /** Every record in a fixed order, the bad ones among them. */
  records(signal?: AbortSignal): AsyncIterable<Reading>;
  /** A text that changes when the annotations do: names, sizes and times of its files. */
  fingerprint(): Promise<string>;
}

/** What opens a dataset beside its path. */
export interface OpenDatasetOptions {
  /** Default: by the files that are there. */
  readonly format?: DatasetFormat | undefined;
  /** Folder of the images; default: by the habits of the format. */
  readonly images?: string | undefined;
  /** Which part: `train` (default), `valid`, `test`, as the format names it. */
  readonly split?: string | undefined;
  /** How Pascal VOC files count pixels; default: from 1. */
  readonly firstPixel?: 0 | 1 | undefined;
}
