export { createNodeBackend } from "./create.ts";
export type { NodeBackendOptions } from "./options.ts";
