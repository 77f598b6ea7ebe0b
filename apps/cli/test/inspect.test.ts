import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { paligemma } from "./cli.ts";

const TINY = fileURLToPath(new URL("../../../packages/paligemma/test/fixtures/hf-tiny/pg2-tiny", import.meta.url));
const ADAPTERS = fileURLToPath(new URL("../../../tooling/fixtures/adapters/", import.meta.url));
const root = await mkdtemp(join(tmpdir(), "paligemma-inspect-"));
afterAll(() => rm(root, { recursive: true }));

let folder = "";
let count = 0;
beforeEach(async () => {
  folder = await mkdtemp(join(root, String(count++)));
});

async function output(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await paligemma(args, { cwd: folder });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}
const inspect = async (name: string): Promise<Record<string, unknown>> =>
  JSON.parse(await output("inspect", name, "--json")) as Record<string, unknown>;

/** A checkpoint of that name, with a model card. */
async function named(name: string, card?: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(path, { recursive: true });
  for (const file of ["config.json", "model.safetensors"]) await cp(join(TINY, file), join(path, file));
  if (card !== undefined) await writeFile(join(path, "README.md"), card);
  return path;
}

const PARAMETERS = 65_000; // of hf-tiny, about

describe("inspect tells what a checkpoint was made for", () => {
  it.each([
    ["paligemma-3b-pt-224", "pretrained", null],
    ["paligemma2-10b-mix-448", "mix", null],
    ["paligemma-3b-ft-vqav2-448", "fine-tuned", "vqav2"],
    ["paligemma2-3b-ft-docci-448-jax", "fine-tuned", "docci"],
    ["models--google--paligemma-3b-ft-science-qa-224/snapshots/0a1b2c", "fine-tuned", "science-qa"],
    ["my-paligemma", "unknown", null],
  ])("%s", async (name, taskFamily, task) => {
    const google = name.startsWith("models--google");
    expect(await inspect(await named(name))).toMatchObject({
      taskFamily,
      task,
      taskFrom: taskFamily === "unknown" ? null : "name",
      license: google ? "gemma" : "unknown",
      licenseFrom: google ? "name" : null,
    });
  });

  it("by its model card, where the name says nothing", async () => {
    const card = "---\nlicense: gemma\nbase_model:\n- google/paligemma-3b-pt-224\ntags: [x]\n---\n# Cats\n";
    const path = await named("cats", card);
    expect(await inspect(path)).toMatchObject({
      taskFamily: "fine-tuned",
      task: null,
      taskFrom: "model card",
      license: "gemma",
      licenseFrom: "model card",
    });
    const text = await output("inspect", path);
    expect(text).toMatch(/^made for +one task: it is fine-tuned \(says the model card\)$/m);
    expect(text).toMatch(/^licence +gemma: the Gemma Terms of Use/m);
  });

  it("says plainly that it knows no licence, and reads names of other ones", async () => {
    expect(await output("inspect", await named("cats"))).toMatch(/^licence +unknown: no model card names it/m);
    const other = "---\nlicense: other\nlicense_name: cat-licence-1\n---\n";
    expect(await inspect(await named("dogs", other))).toMatchObject({ license: "cat-licence-1" });
    expect(await inspect(await named("fish", "# no header"))).toMatchObject({ license: "unknown" });
  });
});

describe("inspect understands", () => {
  it("safetensors: what each device needs", async () => {
    const found = await inspect(TINY);
    const parameters = found["parameters"] as number;
    expect(parameters).toBeGreaterThan(PARAMETERS - 5000);
    expect(found).toMatchObject({ format: "safetensors", precision: "float32", resolution: 28, exports: [] });
    const cache = 2 * 2 * 2 * 8 * 1000; // keys and values, layers, heads, size
    const total = (weights: number, bytes: number): number => weights + (bytes * 504) / 1000;
    expect(found["needs"]).toEqual([
      ...["cpu", "cuda", "webgpu"].map((device) => ({
        device,
        precision: "float32",
        weights: parameters * 4,
        cachePer1000Tokens: cache * 4,
        total: total(parameters * 4, cache * 4),
      })),
      {
        device: "webgpu",
        precision: "float16",
        weights: parameters * 2,
        cachePer1000Tokens: cache * 2,
        total: total(parameters * 2, cache * 2),
      },
    ]);
  });

  it("half precision, whose token table the CPU keeps twice", async () => {
    await output("convert", TINY, "--out", "half", "--dtype", "bfloat16");
    const { precision, parameters, needs } = await inspect("half");
    expect(precision).toBe("bfloat16");
    const [cpu] = needs as { weights: number }[];
    expect(cpu!.weights).toBe((parameters as number) * 4 + 300 * 32 * 2);
  });

  it("big_vision's npz with a config.json beside it", async () => {
    await output("convert", TINY, "--out", "tiny.npz");
    await cp(join(TINY, "config.json"), join(folder, "config.json"));
    expect(await inspect("tiny.npz")).toMatchObject({
      format: "npz",
      family: "PaliGemma 2",
      weightFiles: ["tiny.npz"],
    });
  });

  it("quantised bundles", async () => {
    await output("quantize", TINY, "--dtype", "int8", "--vision", "int8", "--out", "bundle");
    const { format, precision, needs } = await inspect("bundle");
    expect([format, precision]).toEqual(["quantised bundle", "int8"]);
    // Half-precision arithmetic is not offered: a GPU has no packed products for it.
    expect((needs as { precision: string }[]).map((n) => n.precision)).toEqual(["float32", "float32", "float32"]);
  });

  it("ONNX exports, in every precision that is there", async () => {
    await output("convert", TINY, "--out", "export", "--to", "transformers.js");
    await output("convert", TINY, "--out", "half", "--to", "transformers.js", "--dtype", "float16");
    await cp(join(folder, "half/onnx"), join(folder, "export/onnx"), { recursive: true });
    const found = await inspect("export");
    expect(found).toMatchObject({ format: "ONNX export", problems: [expect.stringContaining("tokenizer.json")] });
    const exports = found["exports"] as { dtype: string; decoderInputs: string[]; needs: object[] }[];
    expect(exports.map(({ dtype }) => dtype)).toEqual(["fp32", "fp16"]);
    expect(exports[0]!.decoderInputs).toEqual([
      "inputs_embeds",
      "attention_mask",
      "position_ids",
      "num_logits_to_keep",
    ]);
    expect(exports[0]!.needs).toMatchObject(
      ["cpu", "cuda", "webgpu"].map((device) => ({ device, precision: "float32" })),
    );
    expect(await output("inspect", "export")).toMatch(/^format +ONNX export in fp32, fp16$/m);
    await rm(join(folder, "export/onnx/embed_tokens.onnx"));
    await rm(join(folder, "export/onnx/embed_tokens_fp16.onnx"));
    const problems = (await inspect("export"))["problems"] as string[];
    expect(problems.join()).toContain("it lacks onnx/embed_tokens.onnx");
  });

  it("adapters", async () => {
    expect(await inspect(join(ADAPTERS, "projector-saved"))).toMatchObject({
      format: "adapter",
      kind: "LoRA",
      rank: 2,
      baseModel: "pg1-tiny",
      layers: { vision: 0, projector: 0, text: 4 },
      targets: ["gate_proj", "up_proj"],
      replaced: ["multi_modal_projector.linear.bias", "multi_modal_projector.linear.weight"],
      license: "unknown",
    });
    const text = await output("inspect", join(ADAPTERS, "dora"));
    expect(text).toMatch(/^format +adapter: DoRA, rank 2, alpha 4$/m);
    expect(text).toMatch(/^changes +2 layers of vision, 0 of the projector, 4 of text: down_proj, fc2, o_proj$/m);
  });

  it("a config.json alone", async () => {
    await mkdir(join(folder, "alone"));
    await cp(join(TINY, "config.json"), join(folder, "alone/config.json"));
    const found = await inspect("alone");
    expect(found).toMatchObject({ format: "no weights", precision: null, parametersInFiles: null });
    expect((found["needs"] as object[]).length).toBe(4);
  });
});
