import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type BrowserContext, type Page } from "playwright-core";
import { preview } from "vite";
import { FLAGS } from "../../../tooling/browser/chromium.mjs";

/** How long anything may take: a busy machine is slow, not wrong. */
export const PATIENCE_MS = 240_000;

const app = fileURLToPath(new URL("..", import.meta.url));
const BUILT = join(app, "dist/site");
/** Where the pictures of the journey go. */
const ALBUM = fileURLToPath(new URL("../../../build/journey/", import.meta.url));

/** The built page behind a server of this machine. */
export interface Site {
  readonly address: string;
  /** Ends the server; the address then leads nowhere. */
  close(): Promise<void>;
}

/** Builds the page, as its users get it: in a process of its own, because a test's environment is no production. */
export function buildSite(): void {
  const vite = fileURLToPath(new URL("../node_modules/vite/bin/vite.js", import.meta.url));
  const env = { ...process.env, NODE_ENV: "production" };
  execFileSync(process.execPath, [vite, "build", "--logLevel", "warn"], { cwd: app, env, stdio: "inherit" });
}

/** Serves the built page, below a folder as hosts of static pages do. */
export async function serveSite(outDir?: string): Promise<Site> {
  const build = outDir === undefined ? {} : { build: { outDir } };
  const server = await preview({ root: app, ...build, logLevel: "warn", preview: { port: 0, host: "127.0.0.1" } });
  const address = server.resolvedUrls!.local[0]!;
  return { address, close: () => server.close() };
}

/** The built page with another Hub in the place of huggingface.co, in its policy too: a folder, which the caller removes. */
export function withHub(endpoint: string): string {
  const copy = mkdtempSync(join(tmpdir(), "paligemma-page-"));
  cpSync(BUILT, copy, { recursive: true });
  const scripts = readdirSync(join(copy, "assets")).filter((name) => name.endsWith(".js"));
  for (const path of ["index.html", ...scripts.map((name) => join("assets", name))].map((name) => join(copy, name))) {
    // The stand-in redirects to another host for large files, as the Hub does.
    const text = readFileSync(path, "utf8").replace("https://*.huggingface.co", "http://localhost:*");
    writeFileSync(path, text.replaceAll("https://huggingface.co", endpoint));
  }
  return copy;
}

/** What a page did that it should not. */
export interface Watch {
  /** Requests that left this machine. */
  readonly abroad: string[];
  /** Errors, refused policies included. */
  readonly errors: string[];
}

/** A browser with its own profile. */
export async function openBrowser(flags: readonly string[] = FLAGS): Promise<BrowserContext> {
  const context = await chromium.launchPersistentContext("", {
    executablePath: process.env["CHROMIUM_PATH"]!,
    args: [...flags, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
    viewport: { width: 1280, height: 880 },
    permissions: ["clipboard-read", "clipboard-write", "camera"],
    timeout: PATIENCE_MS,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  return context;
}

/** A page that is watched. */
export async function openPage(context: BrowserContext): Promise<{ page: Page; watch: Watch }> {
  const watch: Watch = { abroad: [], errors: [] };
  const page = await context.newPage();
  context.on("request", (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (protocol.startsWith("http") && hostname !== "127.0.0.1") watch.abroad.push(request.url());
  });
  page.on("pageerror", (error) => watch.errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && watch.errors.push(message.text()));
  return { page, watch };
}

let count = 0;

/** Keeps a picture of the page as it is now: build/journey/01-name.png. */
export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(ALBUM, { recursive: true });
  // Colours glide into each other for a moment; the picture shows where they end.
  await page.screenshot({
    path: `${ALBUM}${String(++count).padStart(2, "0")}-${name}.png`,
    animations: "disabled",
    timeout: PATIENCE_MS,
  });
}

/** Waits until a model is loaded, and says which. */
export async function modelReady(page: Page): Promise<string> {
  await page.waitForSelector('#model-dot[data-state="ready"]', { timeout: PATIENCE_MS });
  return (await page.textContent("#model-label"))!;
}

/** Chooses a task by its title. */
export async function chooseTask(page: Page, title: string): Promise<void> {
  await page.getByRole("radio", { name: title }).check({ force: true });
}

/** Asks, waits for the whole answer, and returns its words and how many seconds they took. */
export async function ask(page: Page): Promise<{ text: string; seconds: number }> {
  const since = Date.now();
  await page.click("#go");
  const text = await answered(page);
  return { text, seconds: (Date.now() - since) / 1000 };
}

/** Waits until the answer is whole and the page can be asked again, and returns the answer's words. */
export async function answered(page: Page): Promise<string> {
  await page.waitForSelector('#answer[aria-busy="false"] #actions:not([hidden])');
  // The question stays closed until the answer is kept.
  await page.waitForSelector("#go:not([hidden])");
  return (await page.textContent("#answer-text"))!;
}
