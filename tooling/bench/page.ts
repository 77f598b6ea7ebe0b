// How long a new user waits: opens the built page in a fresh browser, clicks a sample as soon as it can be clicked, asks for
// a caption, then detects. Every click comes as soon as the page allows it, so all waiting is the page's.
//   node --conditions=@paligemma/source --import tsx tooling/bench/page.ts [--rounds 5]
import { parseArgs } from "node:util";
import {
  answered,
  buildSite,
  chooseTask,
  openBrowser,
  openPage,
  serveSite,
  type Site,
} from "../../apps/web/test/site.ts";
import { findChromium } from "../browser/chromium.mjs";

/** Milliseconds after the page was asked for. */
interface Round {
  readonly click: number;
  readonly caption: number;
  readonly detect: number;
}

const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });
process.env["CHROMIUM_PATH"] ??= findChromium() ?? "chromium";

async function visit({ address }: Site): Promise<Round> {
  const context = await openBrowser();
  try {
    const { page, watch } = await openPage(context);
    const since = performance.now();
    const now = (): number => performance.now() - since;
    await page.goto(address, { waitUntil: "commit" });
    await page.getByRole("button", { name: "Sample 1" }).click();
    const click = now();
    await page.waitForSelector("#shown:not([hidden])");
    await page.click("#go");
    const caption = await answered(page);
    const captioned = now();
    await chooseTask(page, "Detect");
    await page.click("#go");
    const detect = await answered(page);
    const round = { click, caption: captioned, detect: now() };
    const answers = [caption, detect, ...watch.errors].join(" | ");
    if (answers !== "a red square, a green triangle and an orange circle | 3 objects found.") throw new Error(answers);
    return round;
  } finally {
    await context.close();
  }
}

buildSite();
const site = await serveSite();
const rounds: Round[] = [];
for (let i = 0; i < Number(values.rounds); i++) {
  const round = await visit(site);
  rounds.push(round);
  const at = (time: number): string => ((time - round.click) / 1000).toFixed(2);
  console.error(
    `first click ${(round.click / 1000).toFixed(2)} s after the address; then caption ${at(round.caption)} s, detect ${at(round.detect)} s`,
  );
}
await site.close();
const median = (numbers: readonly number[]): string =>
  (numbers.toSorted((a, b) => a - b)[numbers.length >> 1]! / 1000).toFixed(1);
console.log(
  `medians of ${rounds.length}: from the first click, caption ${median(rounds.map((r) => r.caption - r.click))} s, caption and detect ${median(rounds.map((r) => r.detect - r.click))} s`,
);
