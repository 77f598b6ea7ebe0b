/** A report on long work. Reports of one `task` count up; `done === total` ends it. */
export interface Progress {
  /** What is being done, in words: "read model-00001-of-00003.safetensors". */
  readonly task: string;
  readonly done: number;
  /** Absent while unknown. */
  readonly total?: number;
  readonly unit: "bytes" | "items" | "tokens";
}

/** Called often; must be quick and must not throw. */
export type OnProgress = (progress: Progress) => void;
