import { createWebGpuBackend, type WebGpuBackend } from "@paligemma/backend-webgpu";
import { createModel, type PaliGemmaModel } from "paligemma";
import type { NdArray } from "@paligemma/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { INPUTS, NAMES, farthest, int64, maskOf, openTiny, pixels, type Tiny } from "./hf-tiny.ts";

let backend: WebGpuBackend;
beforeAll(async () => {
  backend = await createWebGpuBackend({ precision: "float16" });
});
afterAll(() => backend.dispose());

describe.each(NAMES)("%s on WebGPU in half precision is near transformers in float32", (name) => {
  let tiny: Tiny;
  let model: PaliGemmaModel;
  beforeAll(async () => {
    tiny = await openTiny(name);
    model = await createModel({ config: tiny.config, checkpoint: tiny.checkpoint, backend });
  });
  afterAll(() => model.dispose());

  /** The farthest that logits are from the last ones of the expected. */
  async function worstOf({ data }: Pick<NdArray<"float32">, "data">, key: string): Promise<number> {
    const expected = (await tiny.expected.read(key)).data as Float32Array;
    const worst = farthest(data, expected.subarray(expected.length - data.length));
    // Not the numbers of float32.
    expect(worst).toBeGreaterThan(0);
    return worst;
  }

  it("in all logits of a prompt", async () => {
    const { logits } = await model.forward({ pixelValues: pixels(1), inputIds: int64(INPUTS.A) });
    expect(await worstOf(logits, "A.logits")).toBeLessThan(TOLERANCES["hf-tiny/logits, float16"]);
  });

  it("in the last logits of a left-padded batch, and with two pictures in one prompt", async () => {
    const batch = { pixelValues: pixels(2), inputIds: int64(INPUTS.B), attentionMask: maskOf(INPUTS.B) };
    const padded = await model.forward(batch, { logitsToKeep: 1 });
    expect(await worstOf(padded.logits, "B.logits_last")).toBeLessThan(TOLERANCES["hf-tiny/logits, float16"]);
    const two = await model.forward({ pixelValues: pixels(2), inputIds: int64(INPUTS.C) }, { logitsToKeep: 1 });
    expect(await worstOf(two.logits, "C.logits_last")).toBeLessThan(TOLERANCES["hf-tiny/logits, float16"]);
  });

  it("in the logits of answers, and of each step of greedy decoding", async () => {
    const tokenTypeIds = int64(INPUTS.D.map((row) => row.map((_, i) => (i < 9 ? 0 : 1))));
    const batch = { pixelValues: pixels(2), inputIds: int64(INPUTS.D), attentionMask: maskOf(INPUTS.D), tokenTypeIds };
    const { logits } = await model.forward(batch, { logitsToKeep: [8, 9, 10] });
    expect(await worstOf(logits, "D.logits_suffix")).toBeLessThan(TOLERANCES["hf-tiny/logits, float16"]);
    using state = await model.start({ pixelValues: pixels(1), inputIds: int64(INPUTS.A) });
    for (const [step, token] of tiny.answers["gen.greedy"]!.new_tokens[0]!.entries()) {
      const worst = await worstOf(await state.logits(), `gen.greedy.logits.${step}`);
      expect(worst).toBeLessThan(TOLERANCES["hf-tiny/logits, float16"]);
      await state.advance([token]);
    }
  });

  it("in the first token, and decodes from a cache in half precision", async () => {
    using state = await model.start({ pixelValues: pixels(1), inputIds: int64(INPUTS.A) });
    const [first] = tiny.answers["gen.greedy"]!.new_tokens[0]!;
    const [[token]] = (await state.advanceGreedy(1, [])) as [[number]];
    expect(token).toBe(first);
    const { data } = await state.logits();
    const longer = int64(INPUTS.A.map((row) => [...row, token]));
    const types = int64(INPUTS.A.map((row) => [...row.map(() => 0), 1]));
    const whole = await model.forward(
      { pixelValues: pixels(1), inputIds: longer, tokenTypeIds: types },
      { logitsToKeep: 1 },
    );
    expect(farthest(data, whole.logits.data)).toBeLessThan(TOLERANCES["hf-tiny/logits, float16"]);
  });
});
