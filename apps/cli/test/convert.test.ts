import { cp, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { canonicalNames, type Checkpoint } from "@paligemma/weights";
import { openCheckpoint } from "@paligemma/weights/node";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { paligemma, type Run } from "./cli.ts";

const TINY = fileURLToPath(new URL("../../../packages/paligemma/test/fixtures/hf-tiny/pg2-tiny", import.meta.url));
const ADAPTERS = fileURLToPath(new URL("../../../tooling/fixtures/adapters/", import.meta.url));
const root = await mkdtemp(join(tmpdir(), "paligemma-convert-"));
afterAll(() => rm(root, { recursive: true }));

let folder = "";
let count = 0;
beforeEach(async () => {
  folder = await mkdtemp(join(root, String(count++)));
});

const convert = (...args: string[]): Promise<Run> => paligemma(["convert", ...args], { cwd: folder });
const config = async (path: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(folder, path, "config.json"), "utf8"));
const open = async (path: string): Promise<Checkpoint> => canonicalNames(await openCheckpoint(path));

async function expectSame(a: Checkpoint, b: Checkpoint, except: readonly string[] = []): Promise<void> {
  expect([...a.tensors.keys()].toSorted()).toEqual([...b.tensors.keys()].toSorted());
  for (const name of a.tensors.keys())
    if (!except.includes(name)) expect([name, await a.read(name)]).toEqual([name, await b.read(name)]);
}

describe("convert", () => {
  it("goes to big_vision's npz and back, without losing a bit of what both have", async () => {
    const there = await convert(TINY, "--out", "tiny.npz");
    expect(there).toMatchObject({ code: 0, stderr: "" });
    expect(there.stdout).toContain("tensors");
    const back = await convert("tiny.npz", "--like", TINY, "--out", "back", "--json");
    expect(JSON.parse(back.stdout)).toMatchObject({
      model: "tiny.npz",
      out: "back",
      files: ["model.safetensors"],
      adapter: null,
      untied: false,
    });
    const table = "language_model.model.embed_tokens.weight";
    const [given, got] = [await open(TINY), await open(join(folder, "back"))];
    await expectSame(given, got, [table]);
    // big_vision has no rows from the image token on.
    const [before, after] = [
      (await given.read(table)).data.slice(0, 256 * 32),
      (await got.read(table)).data.slice(0, 256 * 32),
    ];
    expect(after).toEqual(before);
    expect(await readdir(folder)).toEqual(["back", "tiny.npz"]);
  });

  it("changes the precision, and says so in config.json", async () => {
    expect((await convert(TINY, "--out", "half", "--dtype", "bfloat16")).code).toBe(0);
    const { tensors } = await open(join(folder, "half"));
    expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["bfloat16"]));
    expect(await config("half")).toMatchObject({
      dtype: "bfloat16",
      model_type: "paligemma",
      tie_word_embeddings: true,
    });
  });

  it("merges an adapter, and takes the tokenizer along", async () => {
    await cp(TINY, join(folder, "base"), { recursive: true });
    await writeFile(join(folder, "base/tokenizer.json"), "{}");
    expect((await convert("base", "--adapter", join(ADAPTERS, "dora"), "--out", "merged")).code).toBe(0);
    expect(await readFile(join(folder, "merged/tokenizer.json"), "utf8")).toBe("{}");
    const [given, got] = [await open(TINY), await open(join(folder, "merged"))];
    const changed = "language_model.model.layers.0.mlp.down_proj.weight";
    expect((await got.read(changed)).data).not.toEqual((await given.read(changed)).data);
  });

  it("unties the output layer where an adapter needs it", async () => {
    const { code, stdout } = await convert(TINY, "--adapter", join(ADAPTERS, "table"), "--out", "merged");
    expect(code).toBe(0);
    expect(stdout).toContain("the two are separate tensors now");
    expect(await config("merged")).toMatchObject({ tie_word_embeddings: false });
    expect((await open(join(folder, "merged"))).tensors.has("language_model.lm_head.weight")).toBe(true);
    expect((await convert("merged", "--out", "merged.npz")).stderr).toContain("lm_head");
  });

  it("writes an export for transformers.js, with an adapter in it and what goes along", async () => {
    await cp(TINY, join(folder, "base"), { recursive: true });
    await writeFile(join(folder, "base/tokenizer.json"), "{}");
    const args = ["--to", "transformers.js", "--adapter", join(ADAPTERS, "dora"), "--dtype", "float16", "--json"];
    const { code, stdout } = await convert("base", "--out", "export", ...args);
    expect(code).toBe(0);
    const models = ["vision_encoder_fp16.onnx", "embed_tokens_fp16.onnx", "decoder_model_merged_fp16.onnx"];
    const files = models.flatMap((name) => [`onnx/${name}`, `onnx/${name}_data`]);
    expect(JSON.parse(stdout)).toMatchObject({ out: "export", files: ["config.json", ...files] });
    expect(await config("export")).toMatchObject({
      model_type: "paligemma",
      "transformers.js_config": {
        dtype: "fp16",
        use_external_data_format: Object.fromEntries(models.map((name) => [name, 1])),
      },
    });
    expect(await readFile(join(folder, "export/tokenizer.json"), "utf8")).toBe("{}");
  });

  it("names released sizes without a config.json, and no others", async () => {
    await convert(TINY, "--out", "tiny.npz");
    const { code, stderr } = await convert("tiny.npz", "--out", "back");
    expect(code).toBe(1);
    expect(stderr).toContain("name a model with the same networks by --like");
  });

  it.each([
    [["--out", "."], "is there already"],
    [[], "required option '--out <path>'"],
    [["--out", "x", "--dtype", "int8"], "Allowed choices are float32, float16, bfloat16"],
    [["--out", "x", "--adapter", TINY], "has no adapter_config.json"],
    [["--out", "x", "--to", "onnx"], "Allowed choices are transformers.js"],
    [["--out", "x.npz", "--to", "transformers.js"], "--out names an .npz"],
    [["--out", "x", "--to", "transformers.js", "--dtype", "bfloat16"], "float32 or float16"],
  ])("mistakes: %j", async (args, says) => {
    await writeFile(join(folder, "occupied"), "");
    const { code, stderr } = await convert(TINY, ...args);
    expect(code).not.toBe(0);
    expect(stderr).toContain(says);
    expect(await readdir(folder)).toEqual(["occupied"]);
  });
});
