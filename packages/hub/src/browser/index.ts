export { storedFiles, type StoredOptions } from "./stored-files.ts";
