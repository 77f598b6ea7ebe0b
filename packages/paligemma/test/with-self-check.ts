import { memorySource, type ModelFiles } from "@paligemma/weights";

const NAME = "self-check.json";

/** The same files with another self-check: as JSON, as the text that it is, or none. */
export function withSelfCheck(files: ModelFiles, check: unknown): ModelFiles {
  const paths = new Set([...files.paths].filter((path) => path !== NAME || check !== undefined));
  const text = typeof check === "string" ? check : JSON.stringify(check ?? null);
  const own = memorySource(new TextEncoder().encode(text), NAME);
  return {
    ...files,
    paths,
    open: (path, ...rest) => (path === NAME ? Promise.resolve(own) : files.open(path, ...rest)),
  };
}
