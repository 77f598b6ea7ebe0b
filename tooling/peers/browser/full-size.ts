// How far Chromium's adapter gets with a checkpoint of full size, stage by stage, one line of JSON each:
//   node --conditions=@paligemma/source --import tsx tooling/peers/browser/full-size.ts FOLDER [--minutes 20] [--no-watchdog]
// Ends when all is done, when the page fails, or after `minutes`, and says what was reached and the processes' memory.
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { FLAGS, findChromium } from "../../browser/chromium.mjs";
import { buildPages } from "./build-pages.ts";
import { serve } from "./serve.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: "string", default: "20" }, "no-watchdog": { type: "boolean", default: false } },
});
const [folder] = positionals;
const executablePath = findChromium();
if (folder === undefined || executablePath === undefined) {
  console.error("usage: full-size.ts FOLDER [--minutes 20] [--no-watchdog]; needs Chromium");
  process.exit(2);
}
const site = await mkdtemp(join(tmpdir(), "paligemma-full-"));
await buildPages(site, ["full"]);
const server = await serve({ site, model: resolve(folder) });
const args = [...FLAGS, ...(values["no-watchdog"] ? ["--disable-gpu-watchdog"] : [])];
const browser = await chromium.launch({ executablePath, args });
const started = performance.now();
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  page.on("console", (message) => console.log(message.text()));
  await page.goto(`${server.address}site/full.html`);
  await page.waitForFunction(() => "go" in window);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((done) => {
    timer = setTimeout(() => done("time is up"), Number(values.minutes) * 60_000);
  });
  const going = page
    .evaluate(() => window.go("/model/"))
    .then(
      () => "done",
      (error: unknown) => `stopped: ${String(error)}`,
    );
  const end = await Promise.race([going, late]);
  clearTimeout(timer);
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const memory = processInfo.map(({ id, type }) => {
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${id}/status`, "utf8"))?.[1];
    return `${type} ${(Number(peak) / 1e6).toFixed(2)} GB`;
  });
  const seconds = (performance.now() - started) / 1000;
  console.log(JSON.stringify({ end, seconds, memory, downloaded: server.taken() }));
} finally {
  await browser.close();
  server.close();
  await rm(site, { recursive: true });
}
process.exit(0);
