// Makes a clone ready: installs with the pinned pnpm (through npx, nothing global) and builds. Plain Node, no
// dependencies, and quick when there is nothing to do: then it needs no network either.
//   node tooling/setup.mjs [--no-build]
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const installStamp = join(root, "node_modules/.cache/paligemma-install");
const buildStamp = join(root, "node_modules/.cache/paligemma-build");
const MINIMUM_NODE = [20, 19];

checkNode();
if (installed()) say("dependencies are installed");
else install();
if (!process.argv.includes("--no-build")) build();

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor >= MINIMUM_NODE[1])) return;
  fail(
    `this is Node ${process.versions.node}, the project needs ${MINIMUM_NODE.join(".")} or newer. Install Node 20 or newer and try again.`,
  );
}

/** The lockfile is the one that was installed last, by this script or by pnpm (which keeps a copy), and all is still there. */
function installed() {
  const wanted = readFileSync(join(root, "pnpm-lock.yaml"), "utf8");
  const known = [installStamp, join(root, "node_modules/.pnpm/lock.yaml")];
  if (!known.some((path) => existsSync(path) && readFileSync(path, "utf8") === wanted)) return false;
  return workspaceFolders().every((folder) => {
    const { dependencies = {}, devDependencies = {} } = readJson(join(folder, "package.json"));
    const names = [...Object.keys(dependencies), ...Object.keys(devDependencies)];
    return names.every((name) => existsSync(join(folder, "node_modules", name, "package.json")));
  });
}

function install() {
  const pnpm = readJson(join(root, "package.json")).packageManager;
  const started = Date.now();
  say(`installing dependencies with ${pnpm} from the npm registry (about 900 MB, once) ...`);
  const args = [
    "--yes",
    pnpm,
    "install",
    "--frozen-lockfile",
    "--config.confirmModulesPurge=false",
    "--reporter=append-only",
  ];
  const { status, error } = run("npx", args);
  if (error) fail(`npx did not start: ${error.message}. It comes with Node; is its folder on the PATH?`);
  if (status !== 0) {
    fail(
      `the installation failed (exit code ${status}); the lines above say why. It needs the npm registry (npm ping), about 1 GB of disk, and a lockfile that fits every package.json (npx ${pnpm} install writes it).`,
    );
  }
  writeStamp(installStamp, readFileSync(join(root, "pnpm-lock.yaml"), "utf8"));
  say(`installed in ${seconds(started)}`);
}

function build() {
  const fingerprint = sourcesFingerprint();
  if (existsSync(buildStamp) && readFileSync(buildStamp, "utf8") === fingerprint) return say("the build is up to date");
  const started = Date.now();
  say("building ...");
  const { status } = run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b"]);
  if (status !== 0) fail("the build failed; the type errors above say where.");
  writeStamp(buildStamp, sourcesFingerprint());
  say(`built in ${seconds(started)}`);
}

/** Path, size and time of every file that the build reads, and whether its output is there. */
function sourcesFingerprint() {
  const hash = createHash("sha256");
  for (const name of ["pnpm-lock.yaml", "tsconfig.json", "tsconfig.base.json"]) addFile(hash, join(root, name));
  for (const folder of workspaceFolders()) {
    if (!existsSync(join(folder, "tsconfig.json"))) continue;
    addFile(hash, join(folder, "tsconfig.json"));
    addFile(hash, join(folder, "package.json"));
    addFolder(hash, join(folder, "src"));
    hash.update(existsSync(join(folder, "dist")) ? "built" : `missing ${Date.now()}`);
  }
  return hash.digest("hex");
}

function addFolder(hash, folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) addFolder(hash, path);
    else addFile(hash, path);
  }
}

function addFile(hash, path) {
  const { size, mtimeMs } = statSync(path);
  hash.update(`${relative(root, path)} ${size} ${mtimeMs}\n`);
}

function workspaceFolders() {
  const parents = ["packages", "apps", "tooling", "examples"]
    .map((name) => join(root, name))
    .filter((path) => existsSync(path));
  const folders = parents.flatMap((parent) => readdirSync(parent).map((name) => join(parent, name)));
  return [root, ...folders.filter((folder) => existsSync(join(folder, "package.json")))];
}

function run(command, args) {
  const env = {
    ...process.env,
    ONNXRUNTIME_NODE_INSTALL: "skip", // its install script would fetch CUDA libraries from outside the npm registry
    TURBO_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
    npm_config_update_notifier: "false",
    npm_config_fund: "false",
    npm_config_audit: "false",
  };
  // npm and pnpm keep caches under HOME; without one, they get a folder that git ignores.
  if (!env.HOME && process.platform !== "win32") {
    env.HOME = join(root, "build/home");
    env.npm_config_cache = join(env.HOME, ".npm");
    mkdirSync(env.HOME, { recursive: true });
  }
  return spawnSync(command, args, {
    cwd: root,
    env,
    stdio: "inherit",
    shell: process.platform === "win32" && command === "npx",
  });
}

function writeStamp(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

function say(message) {
  process.stderr.write(`setup: ${message}\n`);
}

function fail(message) {
  say(message);
  process.exit(1);
}
