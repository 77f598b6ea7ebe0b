export { createNodeBackend } from "./create.ts";
export type { NodeBackendOptions } from "./options.ts";
export type { NodeBackend, NodeBackendStats } from "./stats.ts";
