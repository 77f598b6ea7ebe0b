import { mkdir, readFile, readlink, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Progress } from "@paligemma/core";
import { downloadModel, hubFiles, openFiles, type CachedHubOptions } from "@paligemma/hub/node";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { checkCache, MODEL, NEEDED, newCache } from "./fixtures.ts";
import { gitHash, sha256, startStandIn } from "./stand-in.ts";

const hub = await startStandIn({
  "owner/model": MODEL,
  "google/gated": { files: MODEL.files, gated: true },
  "owner/secret": { files: MODEL.files, private: true },
});
afterAll(() => hub[Symbol.asyncDispose]());

let options: CachedHubOptions & { readonly cache: string };
beforeEach(() => {
  hub.fault = () => undefined;
  hub.bytesPerSecond = undefined;
  (hub.requests as unknown[]).length = 0;
  hub.sent.clear();
  options = {
    cache: newCache(),
    endpoint: hub.endpoint,
    environment: { HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" },
    retry: { delayMs: 5, silenceMs: 30_000 },
    pieceBytes: 65_536,
  };
});
const contents = (): readonly string[] =>
  hub.requests.filter(({ path }) => !path.startsWith("/api/")).map(({ path }) => path);

describe("hubFiles", () => {
  it("lists everything and downloads what is opened, once", async () => {
    const files = await hubFiles("owner/model", options);
    expect([...files.paths].toSorted()).toEqual(Object.keys(MODEL.files).toSorted());
    expect(contents()).toEqual([]);
    for (let i = 0; i < 2; i++) {
      const source = await files.open("tokenizer.json");
      expect(await source.read(0, source.size)).toEqual(MODEL.files["tokenizer.json"]);
    }
    expect(hub.sent).toEqual(new Map([["tokenizer.json", 5_000]]));
    const again = await hubFiles("owner/model", options);
    expect((await again.open("tokenizer.json")).size).toBe(5_000);
    expect(hub.sent.get("tokenizer.json")).toBe(5_000);
  });

  it("keeps the layout that Python shares", async () => {
    const files = await hubFiles("owner/model", { ...options, revision: "refs/pr/1" });
    await files.download(["config.json", "onnx/größe 1.onnx"]);
    const folder = join(options.cache, "models--owner--model");
    expect(await readFile(join(folder, "refs/refs/pr/1"), "utf8")).toBe(hub.commit);
    const snapshot = join(folder, "snapshots", hub.commit);
    expect(files.folder).toBe(snapshot);
    expect(await readlink(join(snapshot, "config.json"))).toBe(`../../blobs/${gitHash(MODEL.files["config.json"])}`);
    expect(await readlink(join(snapshot, "onnx/größe 1.onnx"))).toBe(
      `../../../blobs/${sha256(MODEL.files["onnx/größe 1.onnx"])}`,
    );
    expect(await checkCache(options.cache)).toEqual({ blobs: 2, links: 2 });
  });

  it("downloads what a model needs and nothing else, in parallel ranges, with progress", async () => {
    const progress: Progress[] = [];
    const files = await hubFiles("owner/model@bfloat16", { ...options, onProgress: (report) => progress.push(report) });
    await downloadModel(files);
    expect([...hub.sent.keys()].toSorted()).toEqual(NEEDED.toSorted());
    const ranges = hub.requests
      .filter(({ host, path }) => host === "files" && path.includes("model-00001"))
      .map(({ range }) => range);
    expect(ranges.toSorted((a = "", b = "") => (a < b ? -1 : 1))).toEqual([
      "bytes=0-65535",
      "bytes=131072-196607",
      "bytes=196608-262143",
      "bytes=262144-299999",
      "bytes=65536-131071",
    ]);
    const reports = progress.filter(({ task }) => task === "download model-00001-of-00002.safetensors");
    expect(reports.at(-1)).toEqual({
      task: "download model-00001-of-00002.safetensors",
      done: 300_000,
      total: 300_000,
      unit: "bytes",
    });
    expect(reports.map(({ done }) => done)).toEqual(reports.map(({ done }) => done).toSorted((a, b) => a - b));
  });

  it("fetches an empty file without asking for a range of it", async () => {
    const files = await hubFiles("owner/model", options);
    expect((await files.open("empty")).size).toBe(0);
    expect(contents()).toEqual([]);
  });

  it("shares a blob between branches", async () => {
    await (await hubFiles("owner/model@main", options)).download(["tokenizer.json"]);
    await rm(join(options.cache, "models--owner--model/snapshots"), { recursive: true });
    await (await hubFiles("owner/model@bfloat16", options)).download(["tokenizer.json"]);
    expect(hub.sent.get("tokenizer.json")).toBe(5_000);
  });

  it("replaces a blob that was cut short", async () => {
    const files = await hubFiles("owner/model", options);
    await files.download(["tokenizer.json"]);
    await truncate(join(options.cache, "models--owner--model/blobs", sha256(MODEL.files["tokenizer.json"])), 77);
    expect((await files.open("tokenizer.json")).size).toBe(5_000);
    expect((await checkCache(options.cache)).blobs).toBe(1);
  });

  it("names the nearest file", async () => {
    await expect((await hubFiles("owner/model", options)).open("config.jsn")).rejects.toThrow(
      "the nearest is config.json",
    );
  });

  it("stops at an abort, and goes on where it stopped", async () => {
    hub.bytesPerSecond = 200_000;
    const stop = new AbortController();
    const path = "model-00001-of-00002.safetensors";
    const files = await hubFiles("owner/model", {
      ...options,
      connections: 1,
      onProgress: ({ done }) => done > 100_000 && stop.abort(new Error("enough")),
    });
    await expect(files.open(path, stop.signal)).rejects.toThrow("enough");
    hub.bytesPerSecond = undefined;
    expect((await (await hubFiles("owner/model", options)).open(path)).size).toBe(300_000);
    // The first piece was complete and is not asked for again.
    expect(hub.requests.filter(({ host, range }) => host === "files" && range === "bytes=0-65535")).toHaveLength(1);
    await checkCache(options.cache);
  });
});

describe("access", () => {
  it("says how to open a gated repository", async () => {
    const error = await (await hubFiles("google/gated", options)).open("config.json").catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "hub/gated" });
    expect(String(error)).toContain(`1. log in and accept the license on ${hub.endpoint}/google/gated;`);
    expect(String(error)).toContain(
      "3. set it as HF_TOKEN (or run `hf auth login`, or pass { token }), and run again.",
    );
  });

  it("tells a token without access from no token", async () => {
    const files = await hubFiles("google/gated", { ...options, token: "hf_wrong" });
    const error = await files.open("config.json").catch((e: unknown) => e);
    expect(String(error)).toContain("your token has no access to it");
    expect(String(error)).not.toContain("hf_wrong");
  });

  it("opens it with the token, which only the Hub itself sees", async () => {
    const files = await hubFiles("google/gated", { ...options, environment: { HF_TOKEN: "hf_right\n" } });
    await files.download(["config.json", "tokenizer.json"]);
    expect(
      hub.requests
        .filter(({ host }) => host === "hub")
        .every(({ authorization }) => authorization === "Bearer hf_right"),
    ).toBe(true);
    expect(hub.requests.filter(({ host }) => host === "files").map(({ authorization }) => authorization)).toEqual([
      undefined,
    ]);
  });

  it.each([
    ["owner/absent", "there is no repository owner/absent, or it is private"],
    ["owner/secret", "or set HF_TOKEN"],
    ["owner/model@v9", 'owner/model has no revision "v9"'],
  ])("%s: %s", async (name, says) => {
    await expect(hubFiles(name, options)).rejects.toMatchObject({
      code: "hub/not-found",
      message: expect.stringContaining(says),
    });
  });

  it.each(["model", "a/b/c", "../b", "a/..", "a--b/c", "a/b@../../x", "a/b@main@x", "a/b@", "/etc/passwd", ""])(
    "%j is no name",
    async (name) => {
      await expect(hubFiles(name, options)).rejects.toMatchObject({ code: "hub/name" });
    },
  );

  it("refuses unknown and contradictory options", async () => {
    await expect(hubFiles("owner/model", { ...options, revison: "x" } as never)).rejects.toThrow(
      'did you mean "revision"',
    );
    await expect(hubFiles("owner/model@a", { ...options, revision: "b" })).rejects.toMatchObject({ code: "hub/name" });
    await expect(hubFiles("owner/model", { ...options, connections: 0 })).rejects.toMatchObject({ code: "hub/option" });
  });
});

describe("offline", () => {
  it("uses what is in the cache and sends nothing", async () => {
    await (await hubFiles("owner/model", options)).download(["config.json", "onnx/größe 1.onnx"]);
    const before = hub.requests.length;
    const files = await hubFiles("owner/model", { ...options, environment: { HF_HUB_OFFLINE: "1" } });
    expect([...files.paths].toSorted()).toEqual(["config.json", "onnx/größe 1.onnx"]);
    expect((await files.open("config.json")).size).toBe(MODEL.files["config.json"]!.length);
    await expect(files.open("tokenizer.json")).rejects.toMatchObject({ code: "hub/offline" });
    expect((await hubFiles(`owner/model@${hub.commit}`, { ...options, offline: true })).paths.size).toBe(2);
    expect(hub.requests).toHaveLength(before);
  });

  it("says what is missing", async () => {
    await expect(hubFiles("owner/model", { ...options, offline: true })).rejects.toMatchObject({ code: "hub/offline" });
  });
});

describe("hostile answers", () => {
  const entry = { type: "file", path: "a", size: 1, oid: "a".repeat(40) };
  const answering = (tree: unknown, sha: unknown = hub.commit): CachedHubOptions => ({
    ...options,
    fetch: async (url) => Response.json((url as URL).href.includes("/tree/") ? tree : { id: "o/m", _id: "1", sha }),
  });

  it.each([
    ["a path upwards", [{ ...entry, path: "../../x" }]],
    ["a path upwards inside", [{ ...entry, path: "a/../../x" }]],
    ["an absolute path", [{ ...entry, path: "/etc/x" }]],
    ["a backslash", [{ ...entry, path: "a\\..\\x" }]],
    ["a drive", [{ ...entry, path: "c:x" }]],
    ["a hash that is a path", [{ ...entry, oid: "../../../x" }]],
    ["an LFS hash that is a path", [{ ...entry, lfs: { oid: "../x", size: 1, pointerSize: 1 } }]],
    ["a negative size", [{ ...entry, size: -1 }]],
    ["an endless size", [{ ...entry, size: 2 ** 60 }]],
    ["a path that is a number", [{ ...entry, path: 3 }]],
  ])("%s", async (_, tree) => {
    await expect(hubFiles("o/m", answering(tree))).rejects.toMatchObject({ code: "hub/protocol" });
  });

  it("a commit that is a path", async () => {
    await expect(hubFiles("o/m", answering([], "../../x"))).rejects.toMatchObject({ code: "hub/protocol" });
  });

  it("too many files", async () => {
    const many = Array.from({ length: 10_001 }, (_, i) => ({ ...entry, path: String(i) }));
    await expect(hubFiles("o/m", answering(many))).rejects.toMatchObject({ code: "hub/limit" });
  });

  it("a listing that sends the token elsewhere", async () => {
    const seen: (string | null)[] = [];
    const send: typeof fetch = async (url, init) => {
      seen.push(new Headers(init?.headers).get("authorization"));
      if (!(url as URL).href.includes("/tree/")) return Response.json({ id: "o/m", _id: "1", sha: hub.commit });
      return Response.json(
        [entry],
        (url as URL).href.startsWith(hub.endpoint)
          ? { headers: { link: '<http://evil.example/tree/>; rel="next"' } }
          : {},
      );
    };
    await hubFiles("o/m", { ...options, token: "hf_right", fetch: send });
    expect(seen).toEqual(["Bearer hf_right", "Bearer hf_right", null]);
  });
});

describe("openFiles", () => {
  it("prefers a folder of this machine", async () => {
    const folder = join(newCache(), "owner/model");
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "config.json"), "{}");
    expect([...(await openFiles(folder)).paths]).toEqual(["config.json"]);
    expect((await openFiles("owner/model", options)).paths.size).toBe(9);
    await expect(openFiles(join(folder, "config.json"))).rejects.toMatchObject({ code: "hub/name" });
    await expect(openFiles("no such thing")).rejects.toMatchObject({ code: "hub/name" });
  });
});

it("reads a blob that Python's shared store links elsewhere", async () => {
  const files = await hubFiles("owner/model", options);
  const blob = join(options.cache, "models--owner--model/blobs", sha256(MODEL.files["tokenizer.json"]));
  const store = join(options.cache, "store");
  await mkdir(dirname(blob), { recursive: true });
  await writeFile(store, MODEL.files["tokenizer.json"]);
  await symlink(store, blob);
  expect((await files.open("tokenizer.json")).size).toBe(5_000);
  expect(hub.sent.size).toBe(0);
});
