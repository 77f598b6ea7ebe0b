// Writes docs/reference/<package>.md: every export of every entry point with its docblock and its declaration, read from
// the built declarations (whose types are explicit and whose bodies are gone).
//   npm run docs
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { root, workspacePackages } from "../checks/workspace.mjs";

const out = join(root, "docs/reference");
const packages = workspacePackages().filter((p) => p.kind === "packages");
const entries = packages.flatMap((p) =>
  Object.entries(p.manifest.exports)
    .filter(([, target]) => target.types !== undefined) // a worker has none
    .map(([subpath, target]) => ({ p, subpath, file: join(p.folder, target.types) })),
);
const missing = entries.find(({ file }) => !existsSync(file));
if (missing) throw new Error(`${missing.file} is not built; run npm run setup first`);

const base = ts.readConfigFile(join(root, "tsconfig.base.json"), (path) => readFileSync(path, "utf8")).config;
const { options } = ts.convertCompilerOptionsFromJson({ ...base.compilerOptions, customConditions: [] }, root);
const program = ts.createProgram(
  entries.map(({ file }) => file),
  { ...options, composite: false, noEmit: true, types: ["node"] },
);
const checker = program.getTypeChecker();

mkdirSync(out, { recursive: true });
for (const p of packages) writeFileSync(join(out, `${p.name}.md`), page(p));
writeFileSync(join(out, "README.md"), packageList());
writeFileSync(join(root, "docs/decisions/README.md"), decisionList());
console.log(`wrote ${packages.length} pages to docs/reference, and the list of decisions`);

function packageList() {
  const lines = packages.map((p) => `- [${p.manifest.name}](${p.name}.md): ${p.manifest.description}`);
  return `# Reference\n\nWritten by \`npm run docs\` from the sources.\n\n${lines.join("\n")}\n`;
}

/** Each by its title, in the order of the file names, which begin with dates. */
function decisionList() {
  const folder = join(root, "docs/decisions");
  const names = readdirSync(folder).filter((name) => name.endsWith(".md") && name !== "README.md");
  const lines = names.toSorted().map((name) => {
    const title = /^# (.+)$/m.exec(readFileSync(join(folder, name), "utf8"))?.[1] ?? name;
    return `- [${title}](${name}) (${name.slice(0, 10)})`;
  });
  return `# Decisions\n\nWhy things are as they are, a page each. Listed by \`npm run docs\`.\n\n${lines.join("\n")}\n`;
}

function page(p) {
  const own = entries.filter((entry) => entry.p === p);
  const sections = own.flatMap(({ subpath, file }) =>
    section(p.manifest.name + subpath.slice(1), file, own.length > 1),
  );
  return [
    `# ${p.manifest.name}`,
    p.manifest.description,
    `Written by \`npm run docs\` from the sources; start at the [README](../../packages/${p.name}/README.md).`,
    ...sections,
  ]
    .join("\n\n")
    .concat("\n");
}

function section(specifier, file, titled) {
  const module = checker.getSymbolAtLocation(program.getSourceFile(file));
  const symbols = module ? checker.getExportsOfModule(module) : [];
  const sorted = symbols.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  if (sorted.length === 0) return [];
  return [...(titled ? [`## From \`${specifier}\``] : []), ...sorted.flatMap((symbol) => exportLines(symbol, titled))];
}

function exportLines(exported, titled) {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  const text = ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim();
  const code = (symbol.declarations ?? []).map(declarationText).join("\n");
  return [`${titled ? "###" : "##"} ${exported.name}`, text, `\`\`\`ts\n${code}\n\`\`\``];
}

/** The declaration without its own docblock, `export` and `declare`; docblocks of members stay. */
function declarationText(declaration) {
  const isVariable = ts.isVariableDeclaration(declaration);
  const text = (isVariable ? declaration.parent.parent : declaration).getText();
  return text
    .replace(/^export /, "")
    .replace(/^(default )?declare /, "")
    .replace(/\t| {4}/g, "  ");
}
