import { statSync } from "node:fs";
import { spawn, type ChildProcess } from "node:child_process";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { files, folder } from "@paligemma/tiny-shapes";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { poll } from "./poll.ts";
import { ask, buildSite, modelReady, openBrowser, openPage, picture, serveSite, withHub, type Site } from "./site.ts";

const SERVER = fileURLToPath(new URL("../../../packages/hub/test/serve.ts", import.meta.url));
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
/** Bytes after which a connection breaks. */
const BREAK = 1_000_000;
const CAPTION = "a red square, a green triangle and an orange circle";

/** A stand-in for the Hub with tiny-shapes as the gated repository google/gated; its token is hf_right. */
let server: ChildProcess;
let lines: AsyncIterator<string>;
let copy: string;
let site: Site;
let context: BrowserContext;
let page: Page;
beforeAll(async () => {
  const args = ["--conditions=@paligemma/source", "--import", "tsx", SERVER, fileURLToPath(folder)];
  server = spawn(process.execPath, args, { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
  lines = createInterface({ input: server.stdout! })[Symbol.asyncIterator]();
  const endpoint = (await lines.next()).value as string;
  buildSite();
  copy = withHub(endpoint);
  site = await serveSite(copy);
  context = await openBrowser();
  ({ page } = await openPage(context));
  await page.goto(site.address);
  await modelReady(page);
});
afterAll(async () => {
  await context.close();
  server.stdin!.end();
  await site.close().catch(() => undefined);
  await rm(copy, { recursive: true });
});

/** Tells the stand-in something; how many bytes of files it has sent so far. */
async function tell(line: string): Promise<number> {
  server.stdin!.write(`${line}\n`);
  return Number((await lines.next()).value);
}

/** Chooses a repository, as a person does. */
async function choose(repository: string, token = "", on: Page = page): Promise<void> {
  await on.click("#model-button");
  await on.waitForSelector("#facts dt");
  await on.getByRole("radio", { name: "A model of the Hugging Face Hub" }).check();
  await on.fill("#hub-id", repository);
  await on.fill("#hub-token", token);
  await on.click("#load");
}

/** What the page says, which must not be about command lines. */
async function told(about: RegExp): Promise<void> {
  await poll(() => page.textContent("#notice p")).toMatch(about);
  expect(await page.textContent("#notice p")).not.toMatch(/HF_|run again/);
  expect(await page.textContent("#model-label")).toBe("No model");
}

describe.sequential("a model of the Hub", () => {
  test("that does not exist, or whose name is none", async () => {
    await choose("google/no-such-model");
    await told(/There is no repository google\/no-such-model on the Hub, or it is private\. Check the spelling/);
    await page.getByRole("button", { name: "Choose a model" }).click();
    await page.waitForSelector("#dialog[open]");
    await page.click("#dialog-close");
    await choose("not a name");
    await told(/not a name/);
  });

  test("that wants its licence accepted, without a token and with a wrong one", async () => {
    await choose("google/gated");
    await told(/wants its licence accepted first.*with your account.*make a token/);
    await picture(page, "gated");
    await choose("google/gated", "hf_wrong");
    await told(/wants its licence accepted first.*the account of your token/);
  });

  test("comes whole over a connection that breaks, and answers", async () => {
    const before = await tell(`break model.safetensors ${BREAK}`);
    await choose("google/gated", "hf_right");
    await poll(() => page.textContent("#model-label")).toBe("google/gated@main · software GPU");
    await page.getByRole("button", { name: "Sample 1" }).click();
    await page.waitForSelector("#shown:not([hidden])");
    expect((await ask(page)).text).toBe(CAPTION);
    // What had arrived before it broke was not sent again.
    const whole = files
      .filter((name) => name !== "mask-codec.safetensors")
      .map((name) => statSync(new URL(name, folder)));
    const bytes = whole.reduce((sum, { size }) => sum + size, 0);
    expect((await tell("sent")) - before).toBeLessThan(bytes + BREAK);
    await picture(page, "hub-model");
  });

  test("is read from the Hub each time where the browser has no room, and the page says so", async () => {
    const full = await openBrowser();
    try {
      const { page: other } = await openPage(full);
      await other.goto(site.address);
      await modelReady(other);
      const session = await full.newCDPSession(other);
      await session.send("Storage.overrideQuotaForOrigin", {
        origin: new URL(site.address).origin,
        quotaSize: 100_000,
      });
      await other.evaluate(() => {
        const task = document.getElementById("loading-task")!;
        const said = new Set<string>();
        new MutationObserver(() => said.add(task.textContent)).observe(task, { childList: true });
        Object.assign(globalThis, { said });
      });
      await choose("google/gated", "hf_right", other);
      await poll(() => other.textContent("#model-label")).toBe("google/gated@main · software GPU");
      const said = await other.evaluate(() => [...(globalThis as unknown as { said: Set<string> }).said]);
      expect(said.join()).toContain(
        "The browser has no room to keep this model; it will be downloaded again next time",
      );
    } finally {
      await full.close();
    }
  });

  test("is there on the second visit, without a network", async () => {
    await page.waitForSelector('#foot-offline:has-text("without a network")');
    const before = await tell("sent");
    await site.close();
    await context.setOffline(true);
    await page.reload();
    expect(await modelReady(page)).toContain("tiny-shapes");
    await choose("google/gated");
    await poll(() => page.textContent("#model-label")).toBe("google/gated@main · software GPU");
    await page.getByRole("button", { name: "Sample 1" }).click();
    await page.waitForSelector("#shown:not([hidden])");
    expect((await ask(page)).text).toBe(CAPTION);
    expect(await tell("sent")).toBe(before);
    await choose("owner/model");
    await told(/There is no network, and owner\/model is not kept in this browser/);
  });
});
