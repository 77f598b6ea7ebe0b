// The documentation that must exist: a docblock on every export, a README of the agreed form in every package, and
// relative links that lead somewhere.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";
import { report } from "./report.mjs";
import { filesBelow, root, workspacePackages } from "./workspace.mjs";

const MAXIMUM_README_LINES = 120;
const MAXIMUM_EXAMPLE_LINES = 12;

const problems = [];
let passed = 0;
const packages = workspacePackages().filter((p) => p.kind === "packages" || p.kind === "apps");

checkDocblocks();
for (const p of packages) checkReadme(p);
for (const file of filesBelow(root, [".md"])) checkLinks(file);
report(passed, problems);

function checkDocblocks() {
  const entries = packages.flatMap((p) =>
    Object.values(p.manifest.exports ?? {}).flatMap((target) => {
      const source = target["@paligemma/source"];
      return source === undefined ? [] : [join(p.folder, source)];
    }),
  );
  const base = ts.readConfigFile(join(root, "tsconfig.base.json"), (path) => readFileSync(path, "utf8")).config;
  const { options } = ts.convertCompilerOptionsFromJson(base.compilerOptions, root);
  const program = ts.createProgram(entries, { ...options, composite: false, noEmit: true, types: ["node"] });
  const checker = program.getTypeChecker();
  for (const entry of entries) {
    const module = checker.getSymbolAtLocation(program.getSourceFile(entry));
    if (module === undefined) {
      expect(false, `${relative(root, entry)} exports nothing`);
      continue;
    }
    for (const exported of checker.getExportsOfModule(module)) checkDocblock(checker, entry, exported);
  }
}

function checkDocblock(checker, entry, exported) {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  const [declaration] = symbol.declarations ?? [];
  if (declaration?.getSourceFile().fileName.includes("/node_modules/")) return; // documented where it comes from
  const documentation = ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim();
  const where = relative(root, declaration?.getSourceFile().fileName ?? entry);
  expect(documentation !== "", `${where}: ${exported.name} is exported without a docblock; say what comes out`);
}

function checkReadme(p) {
  const path = join(p.folder, "README.md");
  const name = relative(root, path);
  if (!existsSync(path)) return expect(false, `${name} is missing`);
  const text = readFileSync(path, "utf8");
  const lines = text.trimEnd().split("\n").length;
  expect(lines < MAXIMUM_README_LINES, `${name} has ${lines} lines, fewer than ${MAXIMUM_README_LINES} are allowed`);
  if (p.manifest.exports === undefined) return;
  const example = /```ts\n([\s\S]*?)```/.exec(text)?.[1];
  if (example === undefined) return expect(false, `${name} has no example marked \`\`\`ts`);
  const exampleLines = example.split("\n").filter((line) => line.trim() !== "").length;
  expect(
    exampleLines <= MAXIMUM_EXAMPLE_LINES,
    `${name}: its first example has ${exampleLines} lines, at most ${MAXIMUM_EXAMPLE_LINES} are allowed`,
  );
}

function checkLinks(file) {
  const text = readFileSync(file, "utf8")
    .replaceAll(/```[\s\S]*?```/g, "")
    .replaceAll(/`[^`\n]*`/g, "");
  for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^(?:[a-z]+:|#)/i.test(target)) continue;
    const path = resolve(dirname(file), decodeURI(target.split("#")[0]));
    expect(existsSync(path), `${relative(root, file)} links to ${target}, which is not there`);
  }
}

function expect(condition, problem) {
  if (condition) passed += 1;
  else problems.push(problem);
}
