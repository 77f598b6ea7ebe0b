import { isPaliGemmaError } from "@paligemma/core";
import { downloadModel, hubFiles, type CachedHubOptions } from "@paligemma/hub/node";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { checkCache, MODEL, NEEDED, newCache } from "./fixtures.ts";
import { startStandIn, type Fault } from "./stand-in.ts";

const hub = await startStandIn({ "owner/model": MODEL });
afterAll(() => hub[Symbol.asyncDispose]());
beforeEach(() => {
  hub.fault = () => undefined;
  hub.sent.clear();
  (hub.requests as unknown[]).length = 0;
});

const options = (cache: string, silenceMs = 30_000): CachedHubOptions => ({
  cache,
  endpoint: hub.endpoint,
  environment: { HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" },
  retry: { attempts: 5, delayMs: 1, silenceMs },
  pieceBytes: 65_536,
});

async function load(cache: string, silenceMs?: number): Promise<void> {
  const files = await hubFiles("owner/model", options(cache, silenceMs));
  await downloadModel(files);
  for (const path of NEEDED) {
    const source = await files.open(path);
    if (Buffer.compare(await source.read(0, source.size), MODEL.files[path]) !== 0)
      throw new Error(`${path} holds other bytes`);
  }
}

/** The fault once for every path it is asked about. */
const once = (fault: Fault): ((request: { readonly path: string }) => Fault | undefined) => {
  const seen = new Set<string>();
  return ({ path }) => (seen.has(path) ? undefined : (seen.add(path), fault));
};

describe("a fault that passes is got over", () => {
  it.each<Fault>([
    { kind: "status", status: 500 },
    { kind: "status", status: 503 },
    { kind: "status", status: 408 },
    { kind: "status", status: 429, retryAfter: "0" },
    { kind: "status", status: 429, retryAfter: new Date(Date.now() - 1000).toUTCString() },
    { kind: "break", after: 0 },
    { kind: "break", after: 20 },
    { kind: "stall", after: 0 },
    { kind: "stall", after: 20 },
    { kind: "refuse" },
    { kind: "no-range" },
  ])("%j", async (fault) => {
    hub.fault = once(fault);
    const cache = newCache();
    // Only silence is measured by time; everything else must not depend on how busy the machine is.
    await load(cache, fault.kind === "stall" ? 1_000 : undefined);
    expect(await checkCache(cache)).toEqual({ blobs: NEEDED.length, links: NEEDED.length });
  });
});

it("goes on in the middle of a piece where a connection broke", async () => {
  hub.fault = ({ path }) => (path === "tokenizer.json" ? { kind: "break", after: 1_000 } : undefined);
  await load(newCache());
  expect(hub.sent.get("tokenizer.json")).toBe(5_000);
});

it("asks once more for wrong bytes, then keeps nothing of them", async () => {
  const cache = newCache();
  const path = "tokenizer.json";
  hub.fault = once({ kind: "corrupt" });
  await (await hubFiles("owner/model", options(cache))).open(path);
  expect(hub.sent.get(path)).toBe(10_000);

  const another = newCache();
  hub.fault = (request) => (request.path === path ? { kind: "corrupt" } : undefined);
  await expect((await hubFiles("owner/model", options(another))).open(path)).rejects.toMatchObject({
    code: "hub/corrupt",
  });
  expect(await checkCache(another)).toEqual({ blobs: 0, links: 0 });
});

it("gives up in the end, and says what to do", async () => {
  hub.fault = ({ path }) => (path === "config.json" ? { kind: "status", status: 502 } : undefined);
  const error = await load(newCache()).catch((e: unknown) => e);
  expect(error).toMatchObject({ code: "hub/network" });
  expect(String(error)).toContain(
    "downloading config.json of owner/model failed 5 times: the server answered 502. What has arrived is kept: run again",
  );
  hub.fault = () => ({ kind: "refuse" });
  await expect(hubFiles("owner/model", options(newCache()))).rejects.toMatchObject({ code: "hub/network" });
});

it("has stopped everything when one file of several fails", async () => {
  const cache = newCache();
  hub.bytesPerSecond = 300_000;
  hub.fault = ({ path }) => (path === "config.json" ? { kind: "corrupt" } : undefined);
  try {
    await expect(downloadModel(await hubFiles("owner/model", options(cache)))).rejects.toMatchObject({
      code: "hub/corrupt",
    });
    // The answers that were on their way are cut off by now, so nothing is placed or asked for any more.
    const [before, requests] = [await checkCache(cache), hub.requests.length];
    await new Promise((done) => setTimeout(done, 300));
    expect(await checkCache(cache)).toEqual(before);
    expect(hub.requests).toHaveLength(requests);
  } finally {
    hub.bytesPerSecond = undefined;
  }
});

it("waits as long as the server asks", async () => {
  hub.fault = once({ kind: "status", status: 429, retryAfter: "1" });
  const started = performance.now();
  await hubFiles("owner/model", options(newCache()));
  expect(performance.now() - started).toBeGreaterThan(990);
});

it("200 loads under random faults end in the right bytes or a clear error, and never in a corrupt cache", async () => {
  let state = 12345;
  const next = (): number => ((state = (Math.imul(state, 1664525) + 1013904223) | 0) >>> 8) / 2 ** 24;
  const kinds: readonly (() => Fault)[] = [
    () => ({ kind: "status", status: [500, 502, 503, 504][Math.floor(next() * 4)] }),
    () => ({ kind: "status", status: 429, retryAfter: "0" }),
    () => ({ kind: next() < 0.05 ? "stall" : "break", after: Math.floor(next() ** 3 * 70_000) }),
    () => ({ kind: "corrupt" }),
    () => ({ kind: "no-range" }),
    () => ({ kind: "refuse" }),
  ];
  const outcomes = { right: 0, error: 0 };
  let cache = newCache();
  for (let i = 0; i < 200; i++) {
    // A cache sees up to four loads: the later ones go on with what the earlier left. Every fifth load is hopeless.
    if (i % 4 === 0) cache = newCache();
    const rate = i % 5 === 0 ? 0.9 : 0.25;
    hub.fault = () => (next() < rate ? kinds[Math.floor(next() * kinds.length)]() : undefined);
    try {
      await load(cache, 1_000);
      outcomes.right++;
    } catch (error) {
      if (!isPaliGemmaError(error) || !["hub/network", "hub/corrupt"].includes(error.code)) throw error;
      outcomes.error++;
    }
    await checkCache(cache);
  }
  expect(outcomes.right + outcomes.error).toBe(200);
  // Both happen.
  expect(outcomes.right).toBeGreaterThan(50);
  expect(outcomes.error).toBeGreaterThan(20);
}, 600_000);
