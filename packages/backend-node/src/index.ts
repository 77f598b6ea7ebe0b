export { createNodeBackend } from "./create.ts";
export type { NodeBackendOptions } from "./options.ts";
export type { GraphProfile, OperatorProfile } from "./profile.ts";
export type { NodeBackend, NodeBackendStats } from "./stats.ts";
