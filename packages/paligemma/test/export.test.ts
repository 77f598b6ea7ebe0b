import { cp, mkdtemp, readFile, readdir, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { writeExport } from "@paligemma/onnx/node";
import { folder as tinyShapes } from "@paligemma/tiny-shapes";
import { openCheckpoint } from "@paligemma/weights/node";
import { createModel } from "paligemma";
import { loadPaliGemma } from "paligemma/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { INPUTS, NAMES, farthest, int64, maskOf, openTiny, pixels, upToEnd } from "./hf-tiny.ts";

let backend: Backend;
const root = await mkdtemp(join(tmpdir(), "paligemma-from-onnx-"));
beforeAll(async () => {
  backend = await createNodeBackend();
});
afterAll(async () => {
  await backend.dispose();
  await rm(root, { recursive: true });
});

async function exported(name: (typeof NAMES)[number]): Promise<string> {
  const { config, checkpoint } = await openTiny(name);
  const folder = await mkdtemp(join(root, name));
  await writeExport(folder, { config, checkpoint });
  return folder;
}

describe.each(NAMES)("%s from an ONNX export", (name) => {
  it("gives transformers' ids, alone and in a padded batch, and beams", async () => {
    const { answers } = await openTiny(name);
    await using model = await loadPaliGemma(await exported(name), { backend });
    const alone = { pixelValues: pixels(1), inputIds: int64(INPUTS.A) };
    const { new_tokens: greedy } = answers["gen.greedy"]!;
    const made = await model.generateIds(alone, { maxNewTokens: greedy[0]!.length });
    expect(made.sequences[0]).toEqual(upToEnd(greedy[0]!));

    const batch = { pixelValues: pixels(2), inputIds: int64(INPUTS.B), attentionMask: maskOf(INPUTS.B) };
    const { new_tokens: rows } = answers["gen.greedy_batch"]!;
    const both = await model.generateIds(batch, { maxNewTokens: rows[0]!.length });
    expect(both.sequences).toEqual(rows.map(upToEnd));

    const beams = answers["gen.beam3"]!;
    const args = { maxNewTokens: beams.new_tokens[0]!.length, numBeams: 3 };
    expect((await model.generateIds(alone, args)).sequences[0]).toEqual(upToEnd(beams.new_tokens[0]!));
  });

  it("gives the logits and the loss of the checkpoint", async () => {
    const { config, checkpoint } = await openTiny(name);
    await using model = await loadPaliGemma(await exported(name), { backend });
    await using own = await createModel({ config, checkpoint, backend });
    const labels = int64(INPUTS.D.map((row) => row.map((id, t) => (t >= row.length - 3 ? id : -100))));
    const inputs = { pixelValues: pixels(2), inputIds: int64(INPUTS.D), attentionMask: maskOf(INPUTS.D), labels };
    const options = { logitsToKeep: 7 }; // no padding among them
    const [there, here] = [await model.forward(inputs, options), await own.forward(inputs, options)];
    expect(there.logits.shape).toEqual(here.logits.shape);
    expect(farthest(there.logits.data, here.logits.data)).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
    expect(Math.abs(there.loss! - here.loss!)).toBeLessThan(TOLERANCES["hf-tiny/loss"]);
  });
});

it("forgets tokens, forks and takes several at once", async () => {
  await using model = await loadPaliGemma(await exported("pg2-tiny-w4"), { backend });
  const inputs = { pixelValues: pixels(1), inputIds: int64(INPUTS.A) };
  using one = await model.model.start(inputs);
  for (const token of [20, 21]) await one.advance([token]);
  const expected = [...(await one.logits()).data];
  using other = await model.model.start(inputs);
  expect((await other.advanceMany([[20, 40, 41]], "every")).rows).toBe(3);
  await other.rollback(2);
  await other.advance([21]);
  using twin = await other.fork();
  for (const state of [other, twin])
    expect(farthest((await state.logits()).data, expected)).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
  expect(() => other.rollback(3)).toThrow("cannot forget 3 tokens, only 2 are there");
});

// Made by torch's exporter (tooling/oracles/onnx_recipe.py): opset 14, weights inside, no mask, all logits.
it("gives transformers' ids and logits from an export of others", async () => {
  const { answers, expected } = await openTiny("pg2-tiny");
  await using model = await loadPaliGemma(fileURLToPath(new URL("fixtures/onnx-recipe", import.meta.url)), { backend });
  const alone = { pixelValues: pixels(1), inputIds: int64(INPUTS.A) };
  const { data } = await expected.read("A.logits");
  const { logits } = await model.forward(alone);
  expect(farthest(logits.data, data as Float32Array)).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
  const { new_tokens: greedy } = answers["gen.greedy"]!;
  const made = await model.generateIds(alone, { maxNewTokens: greedy[0]!.length });
  expect(made.sequences[0]).toEqual(upToEnd(greedy[0]!));
  const batch = { pixelValues: pixels(2), inputIds: int64(INPUTS.B), attentionMask: maskOf(INPUTS.B) };
  const { new_tokens: rows } = answers["gen.greedy_batch"]!;
  expect((await model.generateIds(batch, { maxNewTokens: rows[0]!.length })).sequences).toEqual(rows.map(upToEnd));
});

it("answers like the checkpoint, picture and prompt to boxes", async () => {
  const shapes = fileURLToPath(tinyShapes);
  const folder = join(root, "tiny-shapes");
  await using own = await loadPaliGemma(shapes, { backend });
  await writeExport(folder, { config: own.config, checkpoint: await openCheckpoint(shapes) });
  for (const file of await readdir(shapes))
    if (/^(?:tokenizer|preprocessor)/.test(file)) await cp(join(shapes, file), join(folder, file));
  await using model = await loadPaliGemma(folder, { backend });
  const picture = join(fileURLToPath(new URL("../../../apps/cli/assets/", import.meta.url)), "demo.png");
  for (const prompt of ["caption en", "detect circle ; square", "answer en how many shapes are there?"]) {
    const [there, here] = [
      await model.generate({ image: picture, prompt }),
      await own.generate({ image: picture, prompt }),
    ];
    expect(there).toEqual(here);
  }
});

describe("mistakes", () => {
  const load = async (folder: string, options: object = {}): Promise<unknown> => {
    await using model = await loadPaliGemma(folder, { backend, ...options });
    return model;
  };

  it.each([
    ["onnx/decoder_model_merged.onnx", "onnx/missing", "in fp32 it lacks onnx/decoder_model_merged.onnx"],
    ["onnx/embed_tokens.onnx_data", "onnx/missing", "has its weights in onnx/embed_tokens.onnx_data"],
  ])("%s is not there", async (path, code, says) => {
    const folder = await exported("pg1-tiny");
    await rm(join(folder, path));
    await expect(load(folder)).rejects.toMatchObject({ code, message: expect.stringContaining(says) });
  });

  it("a part in the place of another", async () => {
    const folder = await exported("pg1-tiny");
    await rename(join(folder, "onnx/embed_tokens.onnx"), join(folder, "onnx/decoder_model_merged.onnx"));
    await cp(join(folder, "onnx/decoder_model_merged.onnx"), join(folder, "onnx/embed_tokens.onnx"));
    const message = expect.stringMatching(
      /no decoder_model_merged .* takes no inputs_embeds, gives no logits, wants input_ids/,
    );
    await expect(load(folder)).rejects.toMatchObject({ code: "onnx/inputs", message });
  });

  it("a file that is cut off, and one that is something else", async () => {
    const folder = await exported("pg1-tiny");
    const path = join(folder, "onnx/vision_encoder.onnx");
    const bytes = await readFile(path);
    for (const length of [bytes.length - 1, bytes.length >> 1, 20]) {
      await truncate(path, length);
      await expect(load(folder)).rejects.toMatchObject({ name: "PaliGemmaError", code: "onnx/format" });
    }
    await writeFile(path, "<!doctype html><title>404</title>");
    await expect(load(folder)).rejects.toMatchObject({ code: "onnx/format" });
  });

  it("weights that are shorter than the model says", async () => {
    const folder = await exported("pg1-tiny");
    await truncate(join(folder, "onnx/decoder_model_merged.onnx_data"), 5000);
    await expect(load(folder)).rejects.toMatchObject({
      code: "onnx/format",
      message: expect.stringContaining("has 5000"),
    });
  });

  it("a precision that is not there, or not said", async () => {
    const folder = await exported("pg1-tiny");
    const wrong = load(folder, { exportDType: "q4" });
    await expect(wrong).rejects.toMatchObject({
      code: "onnx/missing",
      message: expect.stringContaining("exported in fp32"),
    });
    for (const part of ["vision_encoder", "embed_tokens", "decoder_model_merged"])
      await cp(join(folder, `onnx/${part}.onnx`), join(folder, `onnx/${part}_q4.onnx`));
    await load(folder); // its config.json names fp32
    const json = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
    delete json["transformers.js_config"];
    await writeFile(join(folder, "config.json"), JSON.stringify(json));
    await expect(load(folder)).rejects.toMatchObject({
      code: "onnx/option",
      message: expect.stringContaining("fp32, q4"),
    });
    await load(folder, { exportDType: "q4" });
    await expect(load(fileURLToPath(tinyShapes), { exportDType: "q4" })).rejects.toMatchObject({
      code: "paligemma/option",
    });
    await expect(load(folder, { exportDType: "q4", finalSoftcap: true })).rejects.toMatchObject({
      code: "paligemma/option",
    });
  });
});
