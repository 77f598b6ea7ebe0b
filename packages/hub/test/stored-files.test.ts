import { openModel, type ModelFiles } from "@paligemma/weights";
import { storedFiles, type StoredOptions } from "@paligemma/hub/browser";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { FakeFile, FakeFolder } from "./fake-folder.ts";
import { MODEL, NEEDED } from "./model.ts";
import { sha256, startStandIn } from "./stand-in.ts";

const hub = await startStandIn({ "owner/model": MODEL, "google/gated": { files: MODEL.files, gated: true } });
afterAll(() => hub[Symbol.asyncDispose]());

let folder = new FakeFolder();
beforeEach(() => {
  hub.fault = () => undefined;
  hub.sent.clear();
  folder = new FakeFolder();
});
const options = (more: StoredOptions = {}): StoredOptions => ({
  folder: folder as unknown as FileSystemDirectoryHandle,
  endpoint: hub.endpoint,
  retry: { delayMs: 1, attempts: 4 },
  pieceBytes: 65_536,
  ...more,
});
const PATH = "model-00001-of-00002.safetensors";

async function expectContent(files: ModelFiles, path: string): Promise<void> {
  const source = await files.open(path);
  expect(Buffer.compare(await source.read(0, source.size), MODEL.files[path])).toBe(0);
}

describe("storedFiles", () => {
  it("downloads what is opened, verified, once", async () => {
    for (let i = 0; i < 2; i++) {
      const files = await storedFiles("owner/model", options());
      await Promise.all([...NEEDED, "empty", "onnx/größe 1.onnx"].map((path) => expectContent(files, path)));
    }
    for (const path of NEEDED) expect([path, hub.sent.get(path)]).toEqual([path, MODEL.files[path].length]);
    const source = await (await storedFiles("owner/model", options())).open(PATH);
    expect(await source.read(65_000, 140_000)).toEqual(MODEL.files[PATH].slice(65_000, 140_000));
  });

  it("goes on where a closed tab stopped", async () => {
    const stop = new AbortController();
    const files = await storedFiles(
      "owner/model",
      options({ connections: 1, onProgress: ({ done }) => done > 140_000 && stop.abort(new Error("closed")) }),
    );
    await expect(files.open(PATH, stop.signal)).rejects.toThrow("closed");
    const before = hub.sent.get(PATH)!;
    await expectContent(await storedFiles("owner/model", options()), PATH);
    // Two pieces were kept.
    expect(hub.sent.get(PATH)! - before).toBe(300_000 - 2 * 65_536);
  });

  it("asks once more for wrong bytes, then keeps nothing of them", async () => {
    let corrupt = 1;
    hub.fault = ({ path }) => (path === PATH && corrupt-- > 0 ? { kind: "corrupt" } : undefined);
    await expectContent(await storedFiles("owner/model", options()), PATH);
    corrupt = 99;
    folder = new FakeFolder();
    await expect((await storedFiles("owner/model", options())).open(PATH)).rejects.toMatchObject({
      code: "hub/corrupt",
    });
    const kept = await folder.getDirectoryHandle("owner--model");
    expect(kept.entries.has(`${sha256(MODEL.files[PATH])}.65536`)).toBe(false);
  });

  it("throws away what changed while nobody looked, by its length", async () => {
    await (await storedFiles("owner/model", options())).open(PATH);
    const pieces = await (
      await folder.getDirectoryHandle("owner--model")
    ).getDirectoryHandle(`${sha256(MODEL.files[PATH])}.65536`);
    const piece = pieces.entries.get("2") as FakeFile;
    piece.content = new Blob([new Uint8Array(3)]);
    await expectContent(await storedFiles("owner/model", options()), PATH);
    expect(hub.sent.get(PATH)).toBe(300_000 + 65_536);
  });

  it("works offline with what is kept", async () => {
    await (await storedFiles("owner/model", options())).open("config.json");
    const before = hub.requests.length;
    const files = await storedFiles("owner/model", options({ offline: true }));
    await expectContent(files, "config.json");
    await expect(files.open(PATH)).rejects.toMatchObject({ code: "hub/offline" });
    await expect(storedFiles("owner/other", options({ offline: true }))).rejects.toMatchObject({ code: "hub/offline" });
    expect(hub.requests).toHaveLength(before);
  });

  it("says that there is no room", async () => {
    folder = new FakeFolder({ left: 100_000 });
    await expect((await storedFiles("owner/model", options())).open(PATH)).rejects.toMatchObject({
      code: "hub/disk",
      message: expect.stringContaining("no more room"),
    });
  });

  it("opens models, and says how to open gated ones", async () => {
    await expect(openModel(await storedFiles("owner/model", options()))).rejects.toMatchObject({
      code: "weights/limit",
    }); // shards of noise
    await expect((await storedFiles("google/gated", options())).open("config.json")).rejects.toMatchObject({
      code: "hub/gated",
    });
    await expect(storedFiles("owner/model", options({ pieceBytes: 0 }))).rejects.toMatchObject({ code: "hub/option" });
  });
});
