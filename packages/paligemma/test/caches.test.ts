import { createNodeBackend, type NodeBackend } from "@paligemma/backend-node";
import type { ImageLike } from "@paligemma/processor";
import { folder } from "@paligemma/tiny-shapes";
import { loadPaliGemma, type NodeLoadOptions } from "paligemma/node";
import type { PaliGemma } from "paligemma";
import type { ImageSource } from "@paligemma/processor/node";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { tellingBackend } from "./telling-backend.ts";

const DEMO = new URL("../../../apps/cli/assets/demo.png", import.meta.url);
/** Width 64 · 64 patches · 4 bytes, or what the embedded model has. */
let featureBytes = 0;

let backend: NodeBackend;
const runs: Record<string, number> = {};
const models: PaliGemma<ImageSource>[] = [];
beforeAll(async () => {
  backend = await createNodeBackend();
});
afterAll(() => backend.dispose());
afterEach(async () => {
  for (const model of models.splice(0)) await model.dispose();
  for (const graph of Object.keys(runs)) runs[graph] = 0;
});

async function load(options: Omit<NodeLoadOptions, "backend"> = {}): Promise<PaliGemma<ImageSource>> {
  const telling = tellingBackend(backend, (graph) => (runs[graph] = (runs[graph] ?? 0) + 1));
  const model = await loadPaliGemma(folder, { backend: telling, ...options });
  models.push(model);
  const { numImageTokens, text } = model.config;
  featureBytes = numImageTokens * text.hiddenSize * Float32Array.BYTES_PER_ELEMENT;
  return model;
}

/** A plain picture in one colour. */
function plain(red: number): ImageLike {
  return { width: 2, height: 2, channels: 3, data: new Uint8Array(12).fill(red) };
}

const PROMPTS = ["caption en", "detect circle ; star", "answer en what color is the square?", "segment triangle"];

describe("features of pictures", () => {
  it("are made once for a picture, whatever is asked about it, and answers stay the same", async () => {
    const [cached, plainly] = [await load(), await load({ visionCacheBytes: 0 })];
    const ask = async (model: PaliGemma<ImageSource>): Promise<(readonly number[])[]> => {
      const answers: (readonly number[])[] = [];
      for (const prompt of PROMPTS) answers.push((await model.generate({ image: DEMO, prompt })).tokens);
      return answers;
    };
    const expected = await ask(plainly);
    expect(runs["vision"]).toBe(PROMPTS.length);
    runs["vision"] = 0;
    expect(await ask(cached)).toEqual(expected);
    expect(runs["vision"]).toBe(1);
    const batch = await cached.generate(PROMPTS.map((prompt) => ({ image: DEMO, prompt })));
    expect(batch.map(({ tokens }) => tokens)).toEqual(expected);
    expect(runs["vision"]).toBe(1);
  });

  it("are the same numbers", async () => {
    const model = await load();
    const inputs = await model.processor.process([{ image: DEMO, prompt: "caption en" }]);
    const [first, second] = [await model.forward(inputs), await model.forward(inputs)];
    expect(runs["vision"]).toBe(1);
    expect(second.logits.data).toEqual(first.logits.data);
  });

  it("are made once for calls that overlap, and again where one was aborted", async () => {
    const model = await load();
    const answers = await Promise.all(PROMPTS.map((prompt) => model.generate({ image: DEMO, prompt })));
    expect(new Set(answers.map(({ text }) => text)).size).toBeGreaterThan(1);
    expect(runs["vision"]).toBe(1);
    const stop = new AbortController();
    const ask = { image: plain(9), prompt: "caption en" };
    const calls = [model.generate(ask, { signal: stop.signal }), model.generate(ask)];
    stop.abort(new Error("enough"));
    await expect(calls[0]).rejects.toThrow("enough");
    expect((await calls[1])!.text).not.toBe("");
  });

  it("of the last pictures stay within their bytes", async () => {
    const before = await backend.stats();
    const model = await load({ visionCacheBytes: 1 });
    const { tensorBytes: without } = await backend.stats();
    const bounded = await load({ visionCacheBytes: 2 * featureBytes });
    const ask = async (red: number): Promise<number> => {
      runs["vision"] = 0;
      await bounded.generate({ image: plain(red), prompt: "caption en" }, { maxNewTokens: 2 });
      return runs["vision"];
    };
    expect([await ask(1), await ask(2), await ask(1), await ask(3)]).toEqual([1, 1, 0, 1]);
    expect(await ask(1)).toBe(0); // 2 was not used for longest
    expect(await ask(2)).toBe(1);
    expect((await backend.stats()).tensorBytes - without).toBe(2 * featureBytes);
    await bounded.dispose();
    await model.dispose();
    models.length = 0;
    expect((await backend.stats()).tensorBytes).toBe(before.tensorBytes);
  });

  it.each([-1, 0.5, Number.NaN])("%d is no number of bytes", async (visionCacheBytes) => {
    await expect(load({ visionCacheBytes })).rejects.toThrow(/paligemma\/option: visionCacheBytes/);
  });
});

describe("prompts that ran", () => {
  const BYTES = 2 ** 28;

  it("go on from a copy for the very same prompt and picture, with the same tokens", async () => {
    const [cached, plainly] = [await load({ promptCacheBytes: BYTES }), await load()];
    const asks = PROMPTS.map((prompt) => ({ image: DEMO, prompt }));
    const how = [
      { maxNewTokens: 40 },
      { maxNewTokens: 5 },
      { maxNewTokens: 40, doSample: true, temperature: 2, seed: 3 },
      { maxNewTokens: 20, numBeams: 3 },
    ];
    for (const ask of asks) {
      const expected: (readonly number[])[] = [];
      for (const options of how) expected.push((await plainly.generate(ask, options)).tokens);
      for (const [i, options] of how.entries())
        expect((await cached.generate(ask, options)).tokens).toEqual(expected[i]);
    }
    const batch = { maxNewTokens: 12 };
    const expected = await plainly.generate(asks, batch);
    for (const _ of [1, 2]) expect(await cached.generate(asks, batch)).toEqual(expected);
  });

  it("do not run again", async () => {
    const model = await load({ promptCacheBytes: BYTES });
    const ask = { image: DEMO, prompt: "caption en" };
    const gemmaRuns = async (one: typeof ask): Promise<number> => {
      runs["gemma"] = 0;
      const { tokens } = await model.generate(one, { maxNewTokens: 8 });
      return runs["gemma"] - (tokens.length - 1);
    };
    expect([await gemmaRuns(ask), await gemmaRuns(ask)]).toEqual([1, 0]);
    // Another prompt about the same picture is another prefix: its image rows see other words.
    expect(await gemmaRuns({ ...ask, prompt: "caption es" })).toBe(1);
    expect(await gemmaRuns(ask)).toBe(0);
  });

  it("outlive the signal of the call that made them", async () => {
    const model = await load({ promptCacheBytes: BYTES });
    const stop = new AbortController();
    const ask = { image: DEMO, prompt: "caption en" };
    const { tokens } = await model.generate(ask, { signal: stop.signal });
    stop.abort(new Error("enough"));
    expect((await model.generate(ask)).tokens).toEqual(tokens);
    await expect(model.generate(ask, { signal: stop.signal })).rejects.toThrow("enough");
  });
});
