import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { downloadModel, hubFiles } from "@paligemma/hub/node";
import { afterAll, beforeEach, expect, it } from "vitest";
import { bytes, checkCache, MODEL, NEEDED, newCache } from "./fixtures.ts";
import { startStandIn } from "./stand-in.ts";

const large = { ...MODEL, files: { ...MODEL.files, "model-00001-of-00002.safetensors": bytes(1_500_000, 6) } };
const hub = await startStandIn({ "owner/model": large });
afterAll(() => hub[Symbol.asyncDispose]());
beforeEach(() => hub.sent.clear());

function load(cache: string): ChildProcess {
  const script = fileURLToPath(new URL("load-in-process.ts", import.meta.url));
  return spawn(
    process.execPath,
    ["--conditions=@paligemma/source", "--import", "tsx", script, hub.endpoint, cache, "owner/model"],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
}

it("two processes at once download each byte once", async () => {
  hub.bytesPerSecond = 1_000_000;
  const cache = newCache();
  const processes = [load(cache), load(cache), load(cache)];
  const ends = await Promise.all(processes.map((child) => once(child, "exit")));
  expect(ends.map(([code]) => code as unknown)).toEqual([0, 0, 0]);
  expect(Object.fromEntries(hub.sent)).toEqual(
    Object.fromEntries(NEEDED.map((path) => [path, large.files[path as keyof typeof large.files].length])),
  );
  expect(await checkCache(cache)).toEqual({ blobs: NEEDED.length, links: NEEDED.length });
});

it("a killed download goes on where it was, without waiting for the dead", async () => {
  hub.bytesPerSecond = 100_000;
  const cache = newCache();
  const child = load(cache);
  const path = "model-00001-of-00002.safetensors";
  while ((hub.sent.get(path) ?? 0) < 700_000) await new Promise((done) => setTimeout(done, 10));
  child.kill("SIGKILL");
  await once(child, "exit");
  hub.bytesPerSecond = undefined;
  await new Promise((done) => setTimeout(done, 100));
  const before = hub.sent.get(path)!;
  const files = await hubFiles("owner/model", {
    endpoint: hub.endpoint,
    cache,
    environment: { HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" },
    pieceBytes: 65_536,
  });
  await downloadModel(files);
  // At most the eight pieces that were on their way are sent again.
  expect(before).toBeGreaterThan(8 * 65_536);
  expect(hub.sent.get(path)).toBeLessThanOrEqual(1_500_000 + 8 * 65_536);
  expect(await checkCache(cache)).toEqual({ blobs: NEEDED.length, links: NEEDED.length });
});
