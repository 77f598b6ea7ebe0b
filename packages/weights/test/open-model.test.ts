import {
  LIMITS,
  memorySource,
  ndTensor,
  openModel,
  safetensorsBytes,
  weightPaths,
  type ModelFiles,
} from "@paligemma/weights";
import { describe, expect, it } from "vitest";

const tensor = (name: string): Promise<Uint8Array> =>
  safetensorsBytes([ndTensor(name, { dtype: "float32", shape: [1], data: new Float32Array(1) })]);
const [a, b] = [await tensor("a"), await tensor("b")];
const index = (map: unknown): string => JSON.stringify({ metadata: { total_size: 8 }, weight_map: map });
const INDEX = "model.safetensors.index.json";

function files(contents: Readonly<Record<string, Uint8Array | string>>): ModelFiles {
  return {
    name: "owner/model",
    paths: new Set(Object.keys(contents)),
    open: async (path) => {
      const content = contents[path];
      if (content === undefined) throw new Error(`no ${path}`);
      return memorySource(typeof content === "string" ? new TextEncoder().encode(content) : content, path);
    },
  };
}

describe("openModel", () => {
  it.each([
    ["one file", { "model.safetensors": a, "config.json": "{}" }, ["a"]],
    ["the only file, whatever its name", { "tiny.safetensors": a, "adapter_model.safetensors": b }, ["a"]],
    [
      "shards",
      { "1.safetensors": a, "2.safetensors": b, [INDEX]: index({ a: "1.safetensors", b: "2.safetensors" }) },
      ["a", "b"],
    ],
    ["the single file before an index", { "model.safetensors": a, [INDEX]: "left over" }, ["a"]],
  ])("opens %s", async (_, contents, names) => {
    expect([...(await openModel(files(contents))).tensors.keys()]).toEqual(names);
  });

  it("says which files it would read", async () => {
    const sharded = files({
      "1.safetensors": a,
      "2.safetensors": b,
      "3.safetensors": b,
      [INDEX]: index({ a: "1.safetensors", b: "2.safetensors" }),
    });
    expect(await weightPaths(sharded)).toEqual([INDEX, "1.safetensors", "2.safetensors"]);
    expect(await weightPaths(files({ "model.safetensors": a }))).toEqual(["model.safetensors"]);
  });

  it.each([
    ["nothing", {}, "has no files"],
    ["no weights", { "config.json": "{}" }, "has no .safetensors; it has config.json"],
    ["pickles", { "pytorch_model.bin": "x" }, "convert them to safetensors"],
    ["an adapter", { "adapter_model.safetensors": a, "adapter_config.json": "{}" }, "is an adapter"],
    ["several files without an index", { "1.safetensors": a, "2.safetensors": b }, "several .safetensors and no index"],
  ])("tells what is there instead: %s", async (_, contents, says) => {
    await expect(openModel(files(contents))).rejects.toMatchObject({
      code: "weights/no-file",
      message: expect.stringContaining(says),
    });
  });

  it.each([
    ["no JSON", "{"],
    ["no map", "{}"],
    ["an empty map", index({})],
    ["one tensor twice", '{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}'],
    ["a way out of the folder", index({ a: "../1.safetensors" })],
    ["an absolute path", index({ a: "/etc/1.safetensors" })],
    ["a Windows path", index({ a: "c:\\1.safetensors" })],
    ["another kind of file", index({ a: "1.bin" })],
    ["a number", index({ a: 1 })],
    ["a tensor that its file lacks", index({ a: "1.safetensors", z: "1.safetensors" })],
    ["a tensor in the other file", index({ a: "2.safetensors", b: "1.safetensors" })],
  ])("refuses an index with %s", async (_, content) => {
    await expect(openModel(files({ "1.safetensors": a, "2.safetensors": b, [INDEX]: content }))).rejects.toMatchObject({
      code: "weights/index",
    });
  });

  it("refuses an index of too many files", async () => {
    const map = Object.fromEntries(Array.from({ length: LIMITS.shards + 1 }, (_, i) => [`t${i}`, `${i}.safetensors`]));
    await expect(openModel(files({ [INDEX]: index(map) }))).rejects.toMatchObject({ code: "weights/limit" });
  });
});
