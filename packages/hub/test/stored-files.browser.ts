import { storedFiles, type StoredOptions } from "@paligemma/hub/browser";
import type { ModelFiles } from "@paligemma/weights";
import { afterEach, beforeEach, expect, inject, test, vi } from "vitest";
import { MODEL, NEEDED } from "./model.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the stand-in for the Hub listens. */
    readonly hub: string;
  }
}

const SECOND = "model-00002-of-00002.safetensors";
let folder: FileSystemDirectoryHandle;
let name = "";
beforeEach(async () => {
  name = `test-${crypto.randomUUID()}`;
  folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await (await navigator.storage.getDirectory()).removeEntry(name, { recursive: true });
});

const options = (more: StoredOptions = {}): StoredOptions => ({
  folder,
  endpoint: inject("hub"),
  retry: { delayMs: 1, attempts: 4 },
  pieceBytes: 65_536,
  ...more,
});

async function expectContent(files: ModelFiles, path: string): Promise<void> {
  const source = await files.open(path);
  expect(await source.read(0, source.size)).toEqual(MODEL.files[path]);
}

test("a model by its Hub id is kept by the browser, whole in spite of a connection that breaks, and read without a network", async () => {
  const files = await storedFiles("owner/model", options());
  for (const path of NEEDED) await expectContent(files, path);

  const asked = vi.spyOn(globalThis, "fetch").mockRejectedValue(new TypeError("no network"));
  const again = await storedFiles("owner/model", options({ offline: true }));
  for (const path of NEEDED) await expectContent(again, path);
  const source = await again.open(SECOND);
  expect(await source.read(65_000, 140_000)).toEqual(MODEL.files[SECOND]!.slice(65_000, 140_000));
  expect(asked).not.toHaveBeenCalled();
  await expect(again.open("damaged.bin")).rejects.toMatchObject({ code: "hub/offline" });
});

test("a download goes on where a closed tab stopped", async () => {
  const stop = new AbortController();
  const stopped = await storedFiles(
    "owner/model",
    options({ connections: 1, onProgress: ({ done }) => done > 70_000 && stop.abort(new Error("closed")) }),
  );
  await expect(stopped.open(NEEDED[3]!, stop.signal)).rejects.toThrow("closed");
  const seen: number[] = [];
  const files = await storedFiles("owner/model", options({ onProgress: ({ done }) => seen.push(done) }));
  await expectContent(files, NEEDED[3]!);
  expect(Math.min(...seen)).toBeGreaterThanOrEqual(65_536);
});

test("bytes with another hash are refused, and nothing of them is kept", async () => {
  const files = await storedFiles("owner/model", options());
  await expect(files.open("damaged.bin")).rejects.toMatchObject({ code: "hub/corrupt" });
  const offline = await storedFiles("owner/model", options({ offline: true }));
  await expect(offline.open("damaged.bin")).rejects.toMatchObject({ code: "hub/offline" });
});

test("a browser without room says so", async () => {
  const files = await storedFiles("owner/model", options());
  vi.spyOn(FileSystemFileHandle.prototype, "createWritable").mockRejectedValue(
    new DOMException("full", "QuotaExceededError"),
  );
  const failure = await files.open(SECOND).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "hub/disk" });
  expect(String(failure)).toContain("no more room");
});
