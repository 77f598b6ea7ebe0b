// Holds the packages to the table of docs/architecture.md: what each package.json declares, what each import statement
// says, what each tsconfig.json references.
import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import ts from "typescript";
import { report } from "./report.mjs";
import { filesBelow, readJson, root, workspacePackages } from "./workspace.mjs";

const TABLE = "docs/architecture.md";
// Packages that run in Node only; all others keep `node:` imports under src/node, where an export of its own leads.
const NODE_ONLY = new Set(["backend-node", "cli", "server"]);
const SOURCES = [".ts", ".tsx", ".mts", ".js", ".mjs"];

const problems = [];
let passed = 0;
const packages = workspacePackages();
const byPackageName = new Map(packages.map((p) => [p.manifest.name, p]));
const rootDevelopment = new Set(Object.keys(readJson(join(root, "package.json")).devDependencies));
const allowed = readTable();

checkTable();
for (const p of packages) {
  if (p.kind === "packages" || p.kind === "apps") checkManifest(p);
  if (p.kind === "packages" || p.kind === "apps") checkReferences(p);
  for (const file of filesBelow(p.folder, SOURCES)) checkImports(p, file);
}
report(passed, problems);

/** Rows "| `name` | what it is | may import |" → name → set of names. */
function readTable() {
  const rows = readFileSync(join(root, TABLE), "utf8").matchAll(/^\| `([\w/-]+)` \|[^|]*\| ([^|]*) \|$/gm);
  return new Map(
    [...rows].map(([, name, may]) => [
      name.replace(/^apps\//, ""),
      new Set([...may.matchAll(/`([\w-]+)`/g)].map(([, other]) => other)),
    ]),
  );
}

function checkTable() {
  const names = packages.filter((p) => p.kind !== "tooling" && p.kind !== "examples").map((p) => p.name);
  for (const name of names)
    expect(allowed.has(name), `${TABLE} has no row for \`${name}\`: add what it is and what it may import`);
  for (const [name, others] of allowed) {
    expect(names.includes(name), `${TABLE} has a row for \`${name}\`, which is not in packages/ or apps/`);
    for (const other of others)
      expect(names.includes(other), `${TABLE}: \`${name}\` may import \`${other}\`, which does not exist`);
    expect(
      !reaches(name, name, new Set()),
      `${TABLE}: \`${name}\` may import itself in a circle; one of the arrows must go`,
    );
  }
}

function reaches(from, target, seen) {
  for (const next of allowed.get(from) ?? []) {
    if (next === target) return true;
    if (seen.has(next)) continue;
    seen.add(next);
    if (reaches(next, target, seen)) return true;
  }
  return false;
}

function checkManifest(p) {
  const { dependencies = {}, peerDependencies = {}, optionalDependencies = {} } = p.manifest;
  for (const name of Object.keys({ ...dependencies, ...peerDependencies, ...optionalDependencies })) {
    const other = byPackageName.get(name);
    if (other)
      expect(mayImport(p, other), `${at(p, "package.json")} depends on ${name}, which ${TABLE} does not allow`);
  }
}

function checkReferences(p) {
  const config = readJson(join(p.folder, "tsconfig.json"));
  const referenced = new Set((config.references ?? []).map(({ path }) => resolve(p.folder, path)));
  const { dependencies = {}, peerDependencies = {} } = p.manifest;
  const needed = Object.keys({ ...dependencies, ...peerDependencies }).flatMap(
    (name) => byPackageName.get(name)?.folder ?? [],
  );
  for (const folder of needed)
    expect(referenced.has(folder), `${at(p, "tsconfig.json")} lacks a reference to ${relative(p.folder, folder)}`);
  for (const folder of referenced) {
    expect(
      needed.includes(folder),
      `${at(p, "tsconfig.json")} references ${relative(root, folder)}, which package.json does not depend on`,
    );
  }
  if (config.compilerOptions?.noEmit) return; // bundled by a tool of its own
  const listed = readJson(join(root, "tsconfig.json")).references.some(({ path }) => resolve(root, path) === p.folder);
  expect(listed, `tsconfig.json lacks a reference to ${relative(root, p.folder)}`);
}

function checkImports(p, file) {
  const own = relative(p.folder, file);
  const isSource = own.startsWith(`src${sep}`) && (p.kind === "packages" || p.kind === "apps");
  for (const { fileName: specifier } of ts.preProcessFile(readFileSync(file, "utf8")).importedFiles) {
    const problem = isSource ? sourceProblem(p, own, file, specifier) : otherProblem(p, file, specifier);
    expect(problem === undefined, `${relative(root, file)} imports "${specifier}": ${problem}`);
  }
}

function sourceProblem(p, own, file, specifier) {
  if (specifier.startsWith(".")) {
    const target = resolve(dirname(file), specifier);
    if (!target.startsWith(join(p.folder, "src") + sep)) return "a relative import must stay inside the package's src";
    return undefined;
  }
  if (specifier.startsWith("virtual:")) return undefined; // made by the package's own bundler settings
  if (isBuiltin(specifier)) {
    if (!specifier.startsWith("node:")) return `write "node:${specifier}"`;
    const free = NODE_ONLY.has(p.name) || own.split(sep).includes("node") || own.split(sep).includes("testing");
    return free ? undefined : "node: modules are allowed under src/node only, so that the package loads in a browser";
  }
  const name = packageName(specifier);
  const { dependencies = {}, peerDependencies = {}, optionalDependencies = {} } = p.manifest;
  const other = byPackageName.get(name);
  if (other === p) return "sources import their own package by relative path";
  if (other && !mayImport(p, other)) return `${TABLE} does not let \`${p.name}\` import \`${other.name}\``;
  if (!(name in dependencies) && !(name in peerDependencies) && !(name in optionalDependencies)) {
    return `${name} is not among the dependencies of ${at(p, "package.json")}`;
  }
  return other ? exportProblem(other, specifier) : undefined;
}

/** Tests, tooling and examples: any declared package by name, and no way past its exports. */
function otherProblem(p, file, specifier) {
  if (specifier.startsWith(".")) {
    const target = resolve(dirname(file), specifier);
    if (target.startsWith(join(p.folder, "src") + sep) && !relative(p.folder, file).startsWith("src")) return undefined;
    const crosses = packages.find(
      (other) => other !== p && other.kind !== "tooling" && target.startsWith(other.folder + sep),
    );
    return crosses ? `reach ${crosses.manifest.name} by its name` : undefined;
  }
  if (isBuiltin(specifier)) return undefined;
  const name = packageName(specifier);
  const { dependencies = {}, devDependencies = {}, peerDependencies = {} } = p.manifest;
  const other = byPackageName.get(name);
  const declared =
    name in dependencies || name in devDependencies || name in peerDependencies || rootDevelopment.has(name);
  if (other !== p && !declared) return `${name} is not declared in ${at(p, "package.json")}`;
  return other ? exportProblem(other, specifier) : undefined;
}

function exportProblem(other, specifier) {
  const subpath = `.${specifier.slice(other.manifest.name.length)}`;
  return subpath in (other.manifest.exports ?? {}) ? undefined : `${other.manifest.name} does not export "${subpath}"`;
}

function mayImport(p, other) {
  return allowed.get(p.name)?.has(other.name) ?? false;
}

function packageName(specifier) {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function at(p, file) {
  return relative(root, join(p.folder, file));
}

function expect(condition, problem) {
  if (condition) passed += 1;
  else problems.push(problem);
}
