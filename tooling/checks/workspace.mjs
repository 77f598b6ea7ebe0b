// The workspace as data, for the checks.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's folder; CHECKED_ROOT names another one, for the tests of the checks. */
export const root = process.env.CHECKED_ROOT ?? dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Every package of the workspace: where it lies and what its package.json says. */
export function workspacePackages() {
  return ["packages", "apps", "tooling", "examples"].flatMap((kind) => {
    const parent = join(root, kind);
    if (!existsSync(parent)) return [];
    return readdirSync(parent)
      .filter((name) => existsSync(join(parent, name, "package.json")))
      .map((name) => ({
        kind,
        name,
        folder: join(parent, name),
        manifest: readJson(join(parent, name, "package.json")),
      }));
  });
}

/** All files below a folder whose names end in one of `endings`, without dependencies and build outputs. */
export function filesBelow(folder, endings) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return IGNORED.has(entry.name) ? [] : filesBelow(path, endings);
    return endings.some((ending) => entry.name.endsWith(ending)) ? [path] : [];
  });
}

const IGNORED = new Set(["node_modules", "dist", ".git", ".turbo", "build", "coverage"]);

/** A JSON file's value; comments are not allowed. */
export function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}
