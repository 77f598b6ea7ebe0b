export { readEnvironment, type Environment, type HubEnvironment } from "./environment.ts";
export { hubFiles, type CachedHubOptions, type HubFiles } from "./hub-files.ts";
export { DESCRIPTIONS, downloadModel, openFiles } from "./open-files.ts";
