// Runs what the documentation shows: the first ```ts block of every package's README, and every folder of examples/.
// Each is type-checked against the sources and run with plain Node on the built packages, as a user would.
//   node tooling/checks/examples.mjs [name ...]
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import ts from "typescript";
import { report } from "./report.mjs";
import { root, workspacePackages } from "./workspace.mjs";

const TIME_LIMIT_MS = 120_000; // no example may take longer, on two busy cores
const BLOCK = /```ts\n([\s\S]*?)```/;

const names = process.argv.slice(2);
const wanted = workspacePackages().filter((p) => names.length === 0 || names.includes(p.name));
const examples = wanted.flatMap((p) => (p.kind === "examples" ? exampleFolder(p) : readmeBlock(p)));
const problems = [];
let passed = 0;

try {
  for (const { source, script, code } of examples) {
    mkdirSync(dirname(script), { recursive: true });
    if (!existsSync(source)) writeFileSync(source, code);
    writeFileSync(script, transpile(code));
  }
  typeCheck();
  for (const example of examples) await runExample(example);
} finally {
  for (const { temporary } of examples) rmSync(temporary, { recursive: true, force: true });
}
report(passed, problems);

/** A README's first block, given a folder inside its package so that imports resolve as they do for its users. */
function readmeBlock(p) {
  const path = join(p.folder, "README.md");
  if (p.manifest.exports === undefined || !existsSync(path)) return [];
  const code = BLOCK.exec(readFileSync(path, "utf8"))?.[1];
  if (code === undefined) return [];
  const temporary = join(p.folder, ".example");
  const files = { source: join(temporary, "example.ts"), script: join(temporary, "example.mjs"), temporary };
  rmSync(temporary, { recursive: true, force: true });
  return [{ name: relative(root, path), cwd: p.folder, code, ...files }];
}

function exampleFolder(p) {
  const source = join(p.folder, "index.ts");
  if (!existsSync(source)) throw new Error(`examples/${p.name} has no index.ts`);
  const script = join(p.folder, "index.example.mjs");
  return [
    {
      name: `examples/${p.name}`,
      cwd: p.folder,
      code: readFileSync(source, "utf8"),
      source,
      script,
      temporary: script,
    },
  ];
}

function transpile(code) {
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true };
  return ts.transpileModule(code, { compilerOptions }).outputText;
}

function typeCheck() {
  const base = ts.readConfigFile(join(root, "tsconfig.base.json"), (path) => readFileSync(path, "utf8")).config;
  const { options } = ts.convertCompilerOptionsFromJson(base.compilerOptions, root);
  const files = examples.map(({ source }) => source);
  // `noUnusedLocals` is off: an example may show a value without using it.
  const overrides = {
    composite: false,
    noEmit: true,
    isolatedDeclarations: false,
    noUnusedLocals: false,
    types: ["node"],
  };
  const program = ts.createProgram(files, { ...options, ...overrides });
  const host = { getCurrentDirectory: () => root, getCanonicalFileName: (name) => name, getNewLine: () => "\n" };
  for (const { name, source } of examples) {
    const file = program.getSourceFile(source);
    const diagnostics = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
    if (diagnostics.length === 0) passed += 1;
    else problems.push(`${name} does not type-check:\n${ts.formatDiagnostics(diagnostics, host)}`);
  }
}

function runExample({ name, script, cwd }) {
  return new Promise((resolve) => {
    const started = Date.now();
    const child = spawn(process.execPath, [script], {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: TIME_LIMIT_MS,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
    child.on("close", (code) => {
      if (code === 0) {
        passed += 1;
        console.log(`✓ ${name} ran in ${((Date.now() - started) / 1000).toFixed(1)} s`);
      } else {
        problems.push(`${name} ended with ${code ?? "a time-out"}:\n${output.slice(-4000)}`);
      }
      resolve();
    });
  });
}
