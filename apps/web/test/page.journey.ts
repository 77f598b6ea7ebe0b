import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { folder } from "@paligemma/tiny-shapes";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FLAGS } from "../../../tooling/browser/chromium.mjs";
import { poll, reads } from "./poll.ts";
import {
  answered,
  ask,
  buildSite,
  chooseTask,
  modelReady,
  openBrowser,
  openPage,
  picture,
  serveSite,
  type Site,
  type Watch,
} from "./site.ts";

let site: Site;
let context: BrowserContext;
let page: Page;
let watch: Watch;
beforeAll(async () => {
  buildSite();
  site = await serveSite();
  context = await openBrowser();
  ({ page, watch } = await openPage(context));
});
afterAll(async () => {
  await context.close();
  await site.close().catch(() => undefined);
});

/** Faults of accessibility that axe finds on the page as it is now, one line each. */
async function faults(): Promise<string[]> {
  const script = await readFile(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");
  // Not as a script of the page, whose policy refuses it.
  await page.evaluate(script);
  // Contrast is that of the colours that stay, not of those that glide there.
  await page.waitForFunction(() =>
    document.getAnimations().every(({ effect, playState }) => {
      return playState !== "running" || effect?.getComputedTiming().endTime === Infinity;
    }),
  );
  const violations = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(options: object): Promise<{ violations: { id: string; impact: string; nodes: { target: string[] }[] }[] }>;
      };
    };
    const result = await axe.run({
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    });
    return result.violations;
  });
  return violations.map(
    ({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`,
  );
}

/** The sample with a red square, a green triangle and an orange circle. */
const showSample = async (): Promise<void> => {
  await page.getByRole("button", { name: "Sample 1" }).click();
  await page.waitForSelector("#shown:not([hidden])");
};

describe.sequential("a new user", () => {
  test("opens the page, which gets the built-in model ready by itself", async () => {
    await page.goto(site.address);
    expect(await modelReady(page)).toContain("tiny-shapes");
    await reads(page, "#go", "Choose a picture first");
    expect(await faults()).toEqual([]);
    await picture(page, "empty");
  });

  test("takes a sample and asks for a caption", async () => {
    await showSample();
    await picture(page, "sample");
    const { text, seconds } = await ask(page);
    expect(text).toBe("a red square, a green triangle and an orange circle");
    expect(await page.getAttribute("#picture", "alt")).toContain("a red square");
    await picture(page, `caption-${seconds.toFixed(1)}s`);
    expect(await faults()).toEqual([]);
  });

  test("detects all shapes, with boxes where they are", async () => {
    await chooseTask(page, "Detect");
    const { text, seconds } = await ask(page);
    expect(text).toBe("3 objects found.");
    expect(await page.locator("#found b").allTextContents()).toEqual(["square", "triangle", "circle"]);
    const painted = await page.evaluate(() => {
      const overlay = document.getElementById("overlay") as HTMLCanvasElement;
      const { data } = overlay.getContext("2d")!.getImageData(0, 0, overlay.width, overlay.height);
      return data.filter((value, i) => i % 4 === 3 && value > 0).length;
    });
    expect(painted).toBeGreaterThan(1000);
    await picture(page, `detect-${seconds.toFixed(1)}s`);
  });

  test("points at one of them, which comes forward", async () => {
    await page.hover("#found li:nth-child(3) button");
    await picture(page, "one-object");
    await page.mouse.move(5, 5);
    expect(await faults()).toEqual([]);
  });

  test("copies the answer as JSON, with boxes in pixels", async () => {
    await page.click("#copy-json");
    const copied = (): Promise<string> => page.evaluate(() => navigator.clipboard.readText());
    await poll(copied).toContain("detections");
    await reads(page, "#say", "Copied");
    const data = JSON.parse(await copied()) as {
      prompt: string;
      width: number;
      detections: { label: string; pixels: { xMin: number } }[];
    };
    expect(data).toMatchObject({
      prompt: "detect circle ; square ; triangle ; star",
      width: 640,
      height: 480,
      model: "tiny-shapes",
    });
    const [square] = data.detections;
    expect(square!.label).toBe("square");
    // The square's left edge in the sample, within three of the 112 columns that the model sees.
    expect(Math.abs(square!.pixels.xMin - 90)).toBeLessThan(18);
  });

  test("copies and saves the picture with its boxes", async () => {
    await page.click("#copy-png");
    await poll(() =>
      page.evaluate(async () => (await navigator.clipboard.read()).flatMap(({ types }) => types)),
    ).toContain("image/png");
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save-png")]);
    expect(download.suggestedFilename()).toBe("paligemma.png");
    const png = await readFile(await download.path());
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([640, 480]);
  });

  test("asks a question with the keyboard alone", async () => {
    await page.getByRole("radio", { name: "Detect" }).focus();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Tab");
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.type("what color is the triangle?");
    await page.keyboard.press("Enter");
    expect(await answered(page)).toBe("green");
    // Whoever listens hears it as well.
    await poll(() => page.textContent("#say")).toContain("green");
    await picture(page, "question");
  });

  test("segments", async () => {
    await chooseTask(page, "Segment");
    await page.fill("#text", "circle");
    expect((await ask(page)).text).toBe("One object found.");
    await poll(() => page.textContent("#found small")).toContain("with mask");
    await picture(page, "segment");
  });

  test("is told that the built-in model cannot read", async () => {
    await chooseTask(page, "Read text");
    await poll(() => page.textContent("#task-note")).toContain("never taught to read");
    await picture(page, "read-text");
  });

  test("stops an answer and keeps what was written", async () => {
    await chooseTask(page, "Detect");
    await page.fill("#text", "circle ; square ; triangle ; star");
    // Pressed by the page itself, as soon as there is an object: a test's click may come after the end. On a machine
    // that lets the page wait for long even that may, so it is tried again.
    await page.evaluate(() => {
      const found = document.getElementById("found")!;
      new MutationObserver(() => {
        if (found.childElementCount > 0) document.getElementById("stop")!.click();
      }).observe(found, { childList: true });
    });
    let text = "";
    while (!text.endsWith("(stopped)")) ({ text } = await ask(page));
    expect(text).toMatch(/found\. \(stopped\)$/);
    expect(await page.locator("#found li").count()).toBeGreaterThan(0);
  });

  test("brings an earlier answer back", async () => {
    const entries = page.locator("#history-list button");
    await poll(() => entries.count()).toBeGreaterThanOrEqual(4);
    await entries.last().click();
    // Its picture is decoded first.
    await reads(page, "#answer-text", "a red square, a green triangle and an orange circle");
    await reads(page, "#answer-question", "Caption");
    await picture(page, "history");
  });

  test("shows the last of several that are chosen at once", async () => {
    // The page's own clicks, because those of a test come one after the other. The last of them is on the newest answer.
    const newest = await page.evaluate(() => {
      const buttons = [...document.querySelectorAll<HTMLElement>("#history-list button")];
      for (const button of [...buttons, ...buttons.toReversed()]) button.click();
      return buttons[0]!.querySelector("small")!.textContent;
    });
    await reads(page, "#answer-question", newest);
    // Whatever came too late changes nothing any more.
    await page.evaluate(() => (document.getElementById("picture") as HTMLImageElement).decode());
    await reads(page, "#answer-question", newest);
  });

  test("drops, pastes and photographs pictures", async () => {
    const bytes = [...(await readFile(new URL("../public/samples/2.png", import.meta.url)))];
    for (const type of ["drop", "paste"]) {
      await page.evaluate(
        ({ data, kind }) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([Uint8Array.from(data)], `${kind}.png`, { type: "image/png" }));
          const init = { bubbles: true, cancelable: true };
          const event =
            kind === "drop"
              ? new DragEvent("drop", { ...init, dataTransfer: transfer })
              : new ClipboardEvent("paste", { ...init, clipboardData: transfer });
          document.body.dispatchEvent(event);
        },
        { data: bytes, kind: type },
      );
      await page.waitForSelector(`#picture-name:has-text("${type}.png")`);
    }
    await page.reload();
    await modelReady(page);
    await page.click("#camera");
    await page.waitForFunction(() => (document.getElementById("camera-video") as HTMLVideoElement).videoWidth > 0);
    await picture(page, "camera");
    await page.click("#camera-take");
    await page.waitForSelector('#picture-name:has-text("Photo")');
  });

  test("drops something that is no picture, and is told so", async () => {
    await page.setInputFiles("#file", {
      name: "notes.png",
      mimeType: "image/png",
      buffer: Buffer.from("no picture at all"),
    });
    await page.waitForSelector("#notice:not([hidden])");
    await poll(() => page.textContent("#notice p")).toContain("notes.png is a picture that this browser cannot read");
    await picture(page, "no-picture");
    expect(await faults()).toEqual([]);
    await page.getByRole("button", { name: "Dismiss" }).click();
  });

  test("chooses dark colours, and a small screen", async () => {
    await page.click("#theme");
    await page.click("#theme");
    await poll(() => page.getAttribute("html", "data-theme")).toBe("dark");
    await picture(page, "dark");
    expect(await faults()).toEqual([]);
    await page.setViewportSize({ width: 390, height: 844 });
    await poll(() => page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    await picture(page, "phone");
    await page.setViewportSize({ width: 1280, height: 880 });
    await page.click("#theme");
  });

  test("opens a model of this device, on the processor", async () => {
    await page.click("#model-button");
    await page.waitForSelector("#facts dt");
    expect(await faults()).toEqual([]);
    await picture(page, "model");
    await page.getByRole("radio", { name: "A folder on this device" }).check();
    await page.setInputFiles("#folder", fileURLToPath(folder));
    await page.check('input[name="device"][value="wasm"]');
    await page.click("#load");
    await reads(page, "#model-label", "model · processor");
    await page.setInputFiles("#file", fileURLToPath(new URL("../public/samples/1.png", import.meta.url)));
    await page.waitForSelector('#picture-name:has-text("1.png")');
    await chooseTask(page, "Caption");
    const { text, seconds } = await ask(page);
    expect(text).toBe("a red square, a green triangle and an orange circle");
    await picture(page, `processor-${seconds.toFixed(1)}s`);
  });

  test("sent nothing to anybody, and broke no rule", () => {
    expect(watch.abroad).toEqual([]);
    expect(watch.errors).toEqual([]);
  });
});

describe.sequential("when something goes wrong", () => {
  test("the GPU is lost: the page says so, and goes on when told to", async () => {
    await page.reload();
    await modelReady(page);
    await page.setInputFiles("#file", fileURLToPath(new URL("../public/samples/1.png", import.meta.url)));
    await page.waitForSelector("#shown:not([hidden])");
    // The process that talks to the GPU ends, as it does when a driver fails.
    const session = await context.browser()!.newBrowserCDPSession();
    await session.send("Browser.crashGpuProcess");
    await chooseTask(page, "Caption");
    await page.click("#go");
    await page.waitForSelector("#notice:not([hidden])");
    await poll(() => page.textContent("#notice p")).toMatch(/^The GPU .* was lost/);
    await picture(page, "gpu-lost");
    await page.getByRole("button", { name: "Load again" }).click();
    await modelReady(page);
    expect((await ask(page)).text).toBe("a red square, a green triangle and an orange circle");
  });

  test("a second visit needs no network", async () => {
    await page.waitForSelector('#foot-offline:has-text("without a network")');
    await site.close();
    await page.reload();
    expect(await modelReady(page)).toContain("tiny-shapes");
    await showSample();
    expect((await ask(page)).text).toBe("a red square, a green triangle and an orange circle");
    await picture(page, "offline");
    site = await serveSite();
  });

  test("a browser without a GPU: the page says so and offers the processor", async () => {
    const plain = await openBrowser(FLAGS.filter((flag) => flag !== "--enable-unsafe-webgpu"));
    try {
      const { page: other } = await openPage(plain);
      await other.goto(site.address);
      await other.waitForSelector("#notice:not([hidden])");
      await poll(() => other.textContent("#notice p")).toContain("no GPU adapter");
      await picture(other, "no-gpu");
      await other.getByRole("button", { name: "Run on the processor" }).click();
      expect(await modelReady(other)).toBe("tiny-shapes · processor");
      await other.getByRole("button", { name: "Sample 1" }).click();
      await other.waitForSelector("#shown:not([hidden])");
      expect((await ask(other)).text).toBe("a red square, a green triangle and an orange circle");
    } finally {
      await plain.close();
    }
  });
});
