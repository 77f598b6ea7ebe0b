export { atomically } from "./atomically.ts";
export { fileSource } from "./file-source.ts";
export { folderFiles } from "./folder-files.ts";
export { withLock, type LockTimes } from "./lock.ts";
export { openCheckpoint } from "./open-checkpoint.ts";
export { writeSafetensors, writeShards, type ShardOptions, type WriteOptions } from "./write.ts";
export { writeNpz, type NpzOptions } from "./write-npz.ts";
