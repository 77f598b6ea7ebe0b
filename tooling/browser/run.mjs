// Runs every test that needs a browser: `node tooling/browser/run.mjs [filter…]`.
// Without Chromium it says so and succeeds; REQUIRE_CHROMIUM=1 makes that a failure.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { findChromium } from "./chromium.mjs";

const executable = findChromium();
if (!executable) {
  const required = process.env.REQUIRE_CHROMIUM === "1";
  const bar = "!".repeat(100);
  console.error(`${bar}\nNO CHROMIUM FOUND: the WebGPU backend and the web page are NOT TESTED in this run.`);
  console.error("Install one (Debian: apt-get install chromium) or point CHROMIUM_PATH at it.");
  console.error(
    required ? "REQUIRE_CHROMIUM=1, so this is a failure." : "Set REQUIRE_CHROMIUM=1 to make this a failure.",
  );
  console.error(bar);
  process.exit(required ? 1 : 0);
}
console.log(`browser tests in ${executable}`);

const here = fileURLToPath(new URL(".", import.meta.url));
const vitest = fileURLToPath(new URL("node_modules/vitest/vitest.mjs", import.meta.url));
const { status } = spawnSync(
  process.execPath,
  [vitest, "run", "--config", "vitest.config.ts", ...process.argv.slice(2)],
  {
    cwd: here,
    stdio: "inherit",
    env: { ...process.env, CHROMIUM_PATH: executable },
  },
);
process.exit(status ?? 1);
