export type { HubOptions } from "./client.ts";
export { LIMITS } from "./limits.ts";
export { remoteFiles, type RemoteOptions } from "./remote-files.ts";
export { looksLikeRepository, parseRepository, type Repository } from "./repository.ts";
export type { RetryPolicy } from "./retry.ts";
