// Packs packages and installs each, with nothing but its own dependencies, into an empty project, as a user would:
// `processor` must bring no runtime and prepare a training example there (in Node, and bundled by Vite for a page),
// `parsers` and `generation` must bring nothing at all.
//   node tooling/checks/install-alone.mjs
import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ts from "typescript";
import { FLAGS, findChromium } from "../browser/chromium.mjs";
import { report } from "./report.mjs";
import { readJson, root, workspacePackages } from "./workspace.mjs";

const BLOCK = /```ts\n([\s\S]*?)```/;
const OURS = "@paligemma/";
// Two pixels, red and blue.
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGP4z8DAwPAfAAcAAf9+CLHQAAAAAElFTkSuQmCC";
// Each with what may come along: its own dependencies, and theirs.
const ALONE = [
  { name: "processor", brings: ["@huggingface/tokenizers", "@paligemma/core"] },
  { name: "parsers", brings: [] },
  { name: "generation", brings: [] },
];

const packages = new Map(workspacePackages().map((p) => [p.manifest.name, p]));
const temporary = mkdtempSync(join(tmpdir(), "paligemma-alone-"));
const problems = [];
let passed = 0;

try {
  for (const { name, brings } of ALONE) {
    const folder = install(name);
    if (folder === undefined) continue;
    const installed = installedNames(folder).filter((found) => found !== OURS + name);
    expect(
      JSON.stringify(installed) === JSON.stringify(brings),
      `${name} alone brings ${installed.join(", ") || "nothing"}; expected ${brings.join(", ") || "nothing"}`,
    );
    runExample(name, folder);
    if (name === "processor") {
      prepareInNode(folder);
      await prepareInBrowser(folder);
    }
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
report(passed, problems);

/** An empty project in which only the packed package was installed. */
function install(name) {
  const folder = join(temporary, name);
  mkdirSync(folder);
  writeFileSync(
    join(folder, "package.json"),
    '{ "name": "empty", "version": "1.0.0", "private": true, "type": "module" }\n',
  );
  const tarballs = withOurDependencies(OURS + name).map(pack);
  const { status, output } = npm(folder, "install", ...tarballs);
  if (!expect(status === 0, `${name} does not install:\n${output}`)) return undefined;
  return folder;
}

function withOurDependencies(name, found = new Set()) {
  found.add(name);
  for (const dependency of Object.keys(packages.get(name).manifest.dependencies ?? {})) {
    if (dependency.startsWith(OURS) && !found.has(dependency)) withOurDependencies(dependency, found);
  }
  return [...found];
}

/** The tarball as it would be published; pnpm puts versions in the place of `workspace:` and `catalog:`. */
function pack(name) {
  const into = join(temporary, "tarballs");
  mkdirSync(into, { recursive: true });
  const file = `${name.replace("@", "").replace("/", "-")}-${packages.get(name).manifest.version}.tgz`;
  if (!existsSync(join(into, file))) {
    const { packageManager } = readJson(join(root, "package.json"));
    const { status, output } = run(
      packages.get(name).folder,
      "npx",
      "--yes",
      packageManager,
      "pack",
      "--pack-destination",
      into,
    );
    if (status !== 0) throw new Error(`${name} cannot be packed:\n${output}`);
  }
  return join(into, file);
}

function installedNames(folder) {
  const modules = join(folder, "node_modules");
  const names = readdirSync(modules).filter((entry) => !entry.startsWith("."));
  return names
    .flatMap((entry) =>
      entry.startsWith("@") ? readdirSync(join(modules, entry)).map((inner) => `${entry}/${inner}`) : [entry],
    )
    .sort();
}

/** The example of the README that lies in the tarball. */
function example(name, folder) {
  const code = BLOCK.exec(readFileSync(join(folder, "node_modules", OURS, name, "README.md"), "utf8"))[1];
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true };
  return ts.transpileModule(code, { compilerOptions }).outputText;
}

function runExample(name, folder) {
  writeFileSync(join(folder, "example.mjs"), example(name, folder));
  const { status, output } = run(folder, process.execPath, "example.mjs");
  expect(status === 0, `the README example of ${name} does not run alone:\n${output}`);
}

/** Without sharp files cannot be read, and the error says so; with it a training example comes from a file. */
function prepareInNode(folder) {
  writeFileSync(
    join(folder, "decode.mjs"),
    `import { decodeImage } from "@paligemma/processor/node";
const png = Buffer.from("${PNG}", "base64");
const image = await decodeImage(png).catch((error) => error.code);
console.log(typeof image === "string" ? image : JSON.stringify([image.width, image.height, [...image.data]]));
`,
  );
  const without = run(folder, process.execPath, "decode.mjs");
  expect(without.output.trim() === "processor/sharp-missing", `without sharp decodeImage gives ${without.output}`);
  const { version } = readJson(join(packages.get("@paligemma/processor").folder, "node_modules/sharp/package.json"));
  const { status, output } = npm(folder, "install", `sharp@${version}`);
  if (!expect(status === 0, `sharp does not install beside processor:\n${output}`)) return;
  const runtimes = installedNames(folder).filter((found) => found.includes("onnxruntime"));
  expect(runtimes.length === 0, `processor and sharp bring ${runtimes.join(", ")}`);
  const withSharp = run(folder, process.execPath, "decode.mjs");
  expect(withSharp.output.trim() === "[2,1,[255,0,0,0,0,255]]", `with sharp decodeImage gives ${withSharp.output}`);
}

/** The example and the browser's decoder bundled by Vite; run in Chromium where there is one. */
async function prepareInBrowser(folder) {
  const { version } = readJson(join(root, "node_modules/vite/package.json"));
  const { status, output } = npm(folder, "install", "--save-dev", `vite@${version}`);
  if (!expect(status === 0, `vite does not install beside processor:\n${output}`)) return;
  writeFileSync(
    join(folder, "index.html"),
    '<!doctype html><title>…</title><pre id="out"></pre><script type="module" src="/main.js"></script>\n',
  );
  writeFileSync(
    join(folder, "main.js"),
    `import { decodeImage } from "@paligemma/processor/browser";
const lines = [];
console.log = (...values) => lines.push(values.join(" "));
try {
  await import("./example.mjs");
  const png = Uint8Array.from(atob("${PNG}"), (c) => c.charCodeAt(0));
  lines.push(JSON.stringify([...(await decodeImage(png)).data]), "done");
} catch (error) {
  lines.push(String(error));
}
document.querySelector("#out").textContent = lines.join("\\n");
`,
  );
  const build = run(folder, process.execPath, "node_modules/vite/bin/vite.js", "build", "--logLevel", "error");
  if (!expect(build.status === 0, `Vite does not bundle the README example of processor:\n${build.output}`)) return;
  const chromium = findChromium();
  if (chromium === undefined) return console.log("no Chromium: the bundle was built, but not run");
  const page = await showPage(chromium, join(folder, "dist"));
  expect(
    page.includes("1,3,28,28") && page.includes("[255,0,0,0,0,255]") && page.includes("done"),
    `the bundled README example of processor shows:\n${page}`,
  );
}

async function showPage(chromium, dist) {
  const types = { html: "text/html", js: "text/javascript" };
  const server = createServer((request, response) => {
    const path = join(dist, request.url === "/" ? "index.html" : request.url.split("?")[0]);
    if (!existsSync(path)) return response.writeHead(404).end();
    response
      .writeHead(200, { "content-type": types[path.split(".").pop()] ?? "application/octet-stream" })
      .end(readFileSync(path));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { chromium: launcher } = createRequire(join(root, "tooling/browser/package.json"))("playwright-core");
    const browser = await launcher.launch({ executablePath: chromium, args: FLAGS });
    try {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${server.address().port}/`);
      await page.waitForFunction(() => document.querySelector("#out").textContent !== "", undefined, {
        timeout: 60_000,
      });
      return await page.textContent("#out");
    } finally {
      await browser.close();
    }
  } finally {
    server.close();
  }
}

function npm(folder, ...args) {
  return run(folder, "npm", ...args, "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error");
}

function run(cwd, command, ...args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8", timeout: 300_000 });
  return { status, output: `${stdout ?? ""}${stderr ?? ""}${error ? error.message : ""}` };
}

function expect(condition, problem) {
  if (condition) passed += 1;
  else problems.push(problem);
  return condition;
}
