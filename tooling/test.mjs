// Runs every check, two at a time, and ends with one line: "N passed, N failed".
//   node tooling/test.mjs [name ...]      only the named checks
//   node tooling/test.mjs --list          what there is
// CHROMIUM_PATH names the browser; REQUIRE_CHROMIUM=1 turns its absence into a failure. So do VULKAN_DRIVER and
// REQUIRE_VULKAN for the software GPU that computes in half precision.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findChromium } from "./browser/chromium.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LANES = 2;
const COUNTS = /^(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm;
const VITEST_REPORT = join(root, "build/vitest.json");

// Longest first: the short ones fill the second lane.
const checks = [
  {
    name: "vitest",
    command: [
      bin("vitest/vitest.mjs"),
      "run",
      "--reporter=dot",
      "--reporter=json",
      `--outputFile.json=${VITEST_REPORT}`,
    ],
    count: countVitest,
  },
  { name: "types", command: ["tooling/checks/types.mjs"] },
  { name: "lint", command: [bin("oxlint/bin/oxlint"), "--type-aware"] },
  { name: "format", command: [bin("oxfmt/bin/oxfmt"), "--check", "."] },
  { name: "layers", command: ["tooling/checks/layers.mjs"] },
  { name: "docs", command: ["tooling/checks/docs.mjs"] },
  { name: "examples", command: ["tooling/checks/examples.mjs"] },
  { name: "install-alone", command: ["tooling/checks/install-alone.mjs"] },
  { name: "half-precision", command: ["tooling/gpu/run-vulkan.mjs"], count: countVitestLine },
  { name: "browser", command: ["tooling/browser/run.mjs"], needsChromium: true, count: countVitestLine },
];

const names = process.argv.slice(2);
if (names[0] === "--list") {
  console.log(checks.map(({ name }) => name).join("\n"));
  process.exit(0);
}
const unknown = names.filter((name) => !checks.some((check) => check.name === name));
if (unknown.length > 0) {
  console.error(`There is no check ${unknown.join(", ")}; there are ${checks.map(({ name }) => name).join(", ")}.`);
  process.exit(2);
}

mkdirSync(dirname(VITEST_REPORT), { recursive: true });
rmSync(VITEST_REPORT, { force: true });
const started = Date.now();
const chromium = findChromium();
const queue = checks.filter(({ name }) => names.length === 0 || names.includes(name));
const results = [];
await Promise.all(Array.from({ length: LANES }, lane));
summarize();

async function lane() {
  for (let check = queue.shift(); check !== undefined; check = queue.shift()) results.push(await runCheck(check));
}

async function runCheck(check) {
  const skip = reasonToSkip(check);
  if (skip !== undefined) return skip;
  console.log(`[${check.name}] starts`);
  const since = Date.now();
  const { code, output } = await runCommand(check);
  const counts = (check.count ?? countLines)(output);
  if (counts.passed + counts.failed + counts.skipped === 0) counts[code === 0 ? "passed" : "failed"] = 1;
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  const seconds = ((Date.now() - since) / 1000).toFixed(1);
  console.log(`[${check.name}] ${code === 0 ? "passed" : `FAILED (exit code ${code})`} in ${seconds} s`);
  return { name: check.name, seconds, ...counts };
}

function reasonToSkip({ name, command, needsChromium }) {
  const script = join(root, command[0]);
  if (command[0].startsWith("tooling/") && !existsSync(script)) return skipped(name, `${command[0]} does not exist`);
  if (!needsChromium || chromium !== undefined) return undefined;
  const remedy = "Install Debian's package chromium, or set CHROMIUM_PATH to the browser's path.";
  if (process.env.REQUIRE_CHROMIUM !== "1")
    return skipped(name, `NO CHROMIUM FOUND: nothing was tested in a browser. ${remedy}`);
  console.log(`[${name}] FAILED: no Chromium found and REQUIRE_CHROMIUM=1. ${remedy}`);
  return { name, seconds: "0.0", passed: 0, failed: 1, skipped: 0 };
}

function skipped(name, reason) {
  console.log(`[${name}] SKIPPED: ${reason}`);
  return { name, seconds: "0.0", passed: 0, failed: 0, skipped: 1, reason };
}

/** Runs one check, passing its lines on as they come with its name before each. */
function runCommand({ name, command }) {
  const env = {
    ...process.env,
    NO_COLOR: "1",
    FORCE_COLOR: "0",
    TURBO_TELEMETRY_DISABLED: "1",
    ...(chromium && { CHROMIUM_PATH: chromium }),
  };
  const [script, ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, script), ...args], {
      cwd: root,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8").on("data", (chunk) => {
        output += chunk;
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        for (const line of lines) console.log(`[${name}] ${line}`);
      });
      stream.on("end", () => rest !== "" && console.log(`[${name}] ${rest}`));
    }
    child.on("error", (error) => resolve({ code: 1, output: String(error) }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

function countLines(output) {
  const [last] = [...output.matchAll(COUNTS)].slice(-1);
  const [passed = 0, failed = 0, skippedCount = 0] = (last ?? []).slice(1).map((digits) => Number(digits ?? 0));
  return { passed, failed, skipped: skippedCount };
}

/** The line "Tests  1 failed | 2 passed | 3 skipped (6)" at the end of a vitest run. */
function countVitestLine(output) {
  const line = /^ *Tests +(.+)$/m.exec(output)?.[1] ?? "";
  const count = (word) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: count("skipped") };
}

function countVitest() {
  if (!existsSync(VITEST_REPORT)) return { passed: 0, failed: 0, skipped: 0 };
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(
    readFileSync(VITEST_REPORT, "utf8"),
  );
  return { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests };
}

function summarize() {
  results.sort(
    (a, b) => checks.findIndex(({ name }) => name === a.name) - checks.findIndex(({ name }) => name === b.name),
  );
  const total = (key) => results.reduce((sum, result) => sum + result[key], 0);
  console.log(
    `\n${"check".padEnd(16)}${"passed".padStart(8)}${"failed".padStart(8)}${"skipped".padStart(9)}${"seconds".padStart(10)}`,
  );
  for (const { name, passed, failed, skipped: left, seconds } of results) {
    console.log(
      `${name.padEnd(16)}${String(passed).padStart(8)}${String(failed).padStart(8)}${String(left).padStart(9)}${seconds.padStart(10)}`,
    );
  }
  for (const { name, reason } of results) if (reason) console.log(`${name} was skipped: ${reason}`);
  console.log(`all checks took ${((Date.now() - started) / 1000).toFixed(0)} s\n`);
  console.log(
    `${total("passed")} passed, ${total("failed")} failed${total("skipped") > 0 ? `, ${total("skipped")} skipped` : ""}`,
  );
  process.exitCode = total("failed") > 0 ? 1 : 0;
}

function bin(path) {
  return join("node_modules", path);
}
