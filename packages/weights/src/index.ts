export type { ByteSource } from "./byte-source.ts";
export type { Checkpoint, TensorRef } from "./checkpoint.ts";
export type { ModelFiles } from "./model-files.ts";
