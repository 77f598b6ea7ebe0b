import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import type { NdArray } from "@paligemma/core";
import { createModel, type PaliGemmaModel } from "paligemma";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { INPUTS, NAMES, farthest, int64, maskOf, openTiny, pixels, rightPadded, type Tiny } from "./hf-tiny.ts";

let backend: Backend;
beforeAll(async () => {
  // On a machine with a graphics card the same numbers are asked of it (tooling/gpu/run-all.sh).
  const device = process.env["REQUIRE_DEVICE"]?.split(",").includes("cuda") ? "cuda" : "cpu";
  backend = await createNodeBackend({ device });
});
afterAll(async () => {
  await backend.dispose();
});

describe.each(NAMES)("%s equals transformers", (name) => {
  let tiny: Tiny;
  let model: PaliGemmaModel;
  beforeAll(async () => {
    tiny = await openTiny(name);
    model = await createModel({ config: tiny.config, checkpoint: tiny.checkpoint, backend });
  });
  afterAll(async () => {
    await model.dispose();
  });

  const types = (rows: readonly (readonly number[])[], prefix: number): NdArray<"int64"> =>
    int64(rows.map((row) => row.map((_, i) => (i < prefix ? 0 : 1))));
  async function expectLogits(actual: NdArray<"float32">, key: string): Promise<void> {
    const { data } = await tiny.expected.read(key);
    expect(farthest(actual.data, data as Float32Array)).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
  }

  it("in image features", async () => {
    using features = await model.encodeImages(pixels(2));
    const { data } = await backend.download(features);
    const expected = await tiny.expected.read("image_features");
    expect(farthest(data as Float32Array, expected.data as Float32Array)).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
  });

  it("in all logits of a prompt", async () => {
    const { logits } = await model.forward({ pixelValues: pixels(1), inputIds: int64(INPUTS.A) });
    expect(logits.shape).toEqual([1, 9, 300]);
    await expectLogits(logits, "A.logits");
  });

  it("in the last logits of a left-padded batch, and the same padded on the right", async () => {
    const left = await model.forward(
      { pixelValues: pixels(2), inputIds: int64(INPUTS.B), attentionMask: maskOf(INPUTS.B) },
      { logitsToKeep: 1 },
    );
    await expectLogits(left.logits, "B.logits_last");
    const rows = INPUTS.B.map((row) => rightPadded(row));
    const right = await model.forward(
      { pixelValues: pixels(2), inputIds: int64(rows), attentionMask: maskOf(rows) },
      { logitsToKeep: [8, 6] },
    );
    const last = [...right.logits.data.subarray(0, 300), ...right.logits.data.subarray(3 * 300, 4 * 300)];
    expect(farthest(last, left.logits.data)).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
  });

  it("with two pictures in one prompt", async () => {
    const { logits } = await model.forward({ pixelValues: pixels(2), inputIds: int64(INPUTS.C) }, { logitsToKeep: 1 });
    await expectLogits(logits, "C.logits_last");
  });

  it("in logits and loss of a batch with answers, on either padding side", async () => {
    const labels = (rows: readonly (readonly number[])[], from: (row: number) => number): NdArray<"int64"> =>
      int64(rows.map((row, b) => row.map((id, i) => (i >= from(b) && i < from(b) + 3 ? id : -100))));
    const inputs = { pixelValues: pixels(2), inputIds: int64(INPUTS.D), attentionMask: maskOf(INPUTS.D) };
    const left = await model.forward(
      { ...inputs, tokenTypeIds: types(INPUTS.D, 9), labels: labels(INPUTS.D, () => 9) },
      { logitsToKeep: [8, 9, 10] },
    );
    await expectLogits(left.logits, "D.logits_suffix");
    expect(Math.abs(left.loss! - tiny.answers["D.loss"])).toBeLessThan(TOLERANCES["hf-tiny/loss"]);

    const rows = INPUTS.D.map((row) => rightPadded(row));
    const right = await model.forward({
      ...inputs,
      inputIds: int64(rows),
      attentionMask: maskOf(rows),
      labels: labels(rows, (b) => [9, 7][b]!),
    });
    expect(Math.abs(right.loss! - tiny.answers["D.loss"])).toBeLessThan(TOLERANCES["hf-tiny/loss"]);
  });

  it("refuses labels that teach nothing, which would be a silent NaN", async () => {
    const inputIds = int64(INPUTS.A);
    const labels = int64(INPUTS.A.map((row) => row.map(() => -100)));
    await expect(model.forward({ pixelValues: pixels(1), inputIds, labels })).rejects.toThrow(
      /paligemma\/labels.*suffix/,
    );
  });

  it("refuses pictures and image tokens that do not match", async () => {
    const inputIds = int64(INPUTS.A);
    await expect(model.forward({ pixelValues: pixels(2), inputIds })).rejects.toThrow(/tokens: 4, features: 8/);
    await expect(model.forward({ inputIds })).rejects.toThrow(/tokens: 4, features: 0/);
  });
});
