import { appendFile, mkdtemp, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend, type NodeBackend } from "@paligemma/backend-node";
import type { GemmaConfig } from "@paligemma/config";
import type { NdArray } from "@paligemma/core";
import { gemmaGraph, loadGemma, type DecoderState, type GemmaDecoder, type Prompt } from "@paligemma/gemma";
import { CPU } from "@paligemma/graph";
import { dequantizeMatrix, quantizeMatrix } from "@paligemma/quantization";
import { findQuantized, ndTensor, type TensorRef } from "@paligemma/weights";
import { openCheckpoint, writeSafetensors } from "@paligemma/weights/node";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { decoderConfig, idsOf, randomNumbers } from "./small-decoder.ts";
import { tellingBackend } from "./telling-backend.ts";

// As small as decoders are that run layer by layer. The output layer has three parts, of which the last has eight tokens.
const [VOCABULARY, WIDTH, LAYERS, IMAGE] = [8200, 512, 6, 8199];

function configOf(family: "gemma" | "gemma2"): GemmaConfig {
  return decoderConfig({
    model_type: family,
    vocab_size: VOCABULARY,
    hidden_size: WIDTH,
    intermediate_size: 2048,
    num_hidden_layers: LAYERS,
    num_attention_heads: 4,
    num_key_value_heads: 1,
    head_dim: 64,
    ...(family === "gemma2" && {
      query_pre_attn_scalar: 64,
      sliding_window: 16,
      final_logit_softcapping: 30,
      attn_logit_softcapping: 50,
    }),
  });
}

/** Numbers as those of trained layers: what goes through them neither grows nor shrinks. */
function random(shape: readonly number[], seed: number): NdArray<"float32"> {
  return randomNumbers(shape, seed, shape.length > 1 ? Math.sqrt(12 / shape[1]!) : 0.5);
}

/** A decoder in 4 bits, or its perceptrons alone and whole rows of 8 bits elsewhere, and the numbers that these stand for. */
async function writeBoth(
  config: GemmaConfig,
  dtype: "int4" | "mixed",
  folder: string,
): Promise<readonly [packed: string, unpacked: string]> {
  const packed: TensorRef[] = [];
  const vectors: TensorRef[] = [];
  for (const [i, { name, shape }] of gemmaGraph(config, CPU)
    .initializers.filter(({ data }) => !data)
    .entries()) {
    const tensor = ndTensor(name, random(shape, i));
    if (shape.length < 2) vectors.push(tensor);
    else if (dtype === "int4" || name.includes(".mlp."))
      packed.push(...quantizeMatrix(tensor, { bits: 4, zeroPoints: false, blockSize: 32 }));
    else packed.push(...quantizeMatrix(tensor, { bits: 8, zeroPoints: false, blockSize: shape[1]! }));
  }
  const paths = ["packed", "unpacked"].map((name) => join(folder, `${name}.safetensors`)) as [string, string];
  await writeSafetensors(paths[0], [...packed, ...vectors]);
  const checkpoint = await openCheckpoint(paths[0]);
  const names = new Set([...checkpoint.tensors.keys()].map((name) => name.replace(/\.(int4|int8|scales|sums)$/, "")));
  const unpacked: TensorRef[] = [];
  for (const name of names) {
    const found = findQuantized(checkpoint, name);
    if (found) unpacked.push(ndTensor(name, await dequantizeMatrix(found, found.shape[1])));
  }
  await writeSafetensors(paths[1], [...unpacked, ...vectors]);
  return paths;
}

/** So many tokens of text, other ones for each seed. */
const words = (count: number, seed = 0): number[] =>
  Array.from({ length: count }, (_, i) => 2 + ((i * 37 + seed * 101 + i * i) % (IMAGE - 2)));

function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual).toHaveLength(expected.length);
  let [apart, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    apart += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  expect(size).toBeGreaterThan(0);
  return Math.sqrt(apart / size);
}

describe.each([
  ["gemma", "int4"],
  ["gemma2", "int4"],
  ["gemma2", "mixed"],
] as const)("a decoder of %s in %s, layer by layer", (family, dtype) => {
  const config = configOf(family);
  let folder: string;
  let packed: string;
  let backend: NodeBackend;
  let decoder: GemmaDecoder;
  let reference: GemmaDecoder;
  const runs: string[] = [];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "layerwise-"));
    const [small, large] = await writeBoth(config, dtype, folder);
    packed = small;
    backend = await createNodeBackend({ threads: 2 });
    const telling = tellingBackend(backend, (graph) => runs.push(graph));
    const load = async (path: string, on: Backend): Promise<GemmaDecoder> =>
      await loadGemma({ config, checkpoint: await openCheckpoint(path), backend: on, imageTokenIndex: IMAGE });
    decoder = await load(packed, telling);
    reference = await load(large, backend);
  }, 120_000);
  afterAll(async () => {
    await decoder.dispose();
    await reference.dispose();
    await backend.dispose();
    await rm(folder, { recursive: true });
  });
  beforeEach(() => void runs.splice(0));

  const layers = (): number => runs.filter((graph) => graph === "gemma, a layer").length;
  async function expectClose(
    prompt: Prompt,
    ask: (state: DecoderState) => Promise<{ readonly data: Float32Array }>,
  ): Promise<void> {
    using state = decoder.start(prompt);
    using other = reference.start(prompt);
    const [actual, expected] = [await ask(state), await ask(other)];
    expect(distance(actual.data, expected.data)).toBeLessThan(TOLERANCES["quantization/layerwise"]);
  }

  it("scores what follows a long text, and goes on from there", async () => {
    const before = await backend.stats();
    await expectClose({ inputIds: idsOf(words(150)) }, async (state) => {
      await state.logits();
      await state.advance([17]);
      await state.advance([4000]);
      return await state.logits();
    });
    expect(runs).toEqual([
      "gemma, before the layers",
      ...Array.from({ length: LAYERS }, () => "gemma, a layer"),
      ...Array.from({ length: dtype === "int4" ? 3 : 1 }, () => "gemma, scores of a part"),
      "gemma",
    ]);
    const { unpackings, unpackMilliseconds } = await backend.stats();
    // The first layer was there already, maybe.
    expect(unpackings - before.unpackings).toBeGreaterThanOrEqual(LAYERS - 1);
    expect(unpackMilliseconds).toBeGreaterThan(before.unpackMilliseconds);
  });

  it("gives its memory back when steps begin, and takes it again for the next text", async () => {
    const texts = [words(150), words(150, 1)].map((ids) => ({ inputIds: idsOf(ids) }));
    const sizes: number[] = [];
    for (const prompt of texts) {
      using state = decoder.start(prompt);
      await state.logits();
      sizes.push((await backend.stats()).tensorBytes);
      await state.advanceGreedy(3, []);
      sizes.push((await backend.stats()).tensorBytes);
    }
    const [prompt = 0, steps = 0] = sizes;
    // The matrices of a layer: q and o, k and v, gate, up and down.
    const layer = 2 * 256 * WIDTH + 2 * 64 * WIDTH + 3 * 2048 * WIDTH;
    expect(prompt - steps).toBeGreaterThan(layer);
    expect(prompt - steps).toBeLessThan(1.1 * layer);
    expect(sizes).toEqual([prompt, steps, prompt, steps]);
    // A step does not wait for a text that is on its way, nor takes its memory.
    using state = decoder.start(texts[0]!);
    await state.logits();
    await state.advance([5]);
    using other = decoder.start(texts[1]!);
    const order: string[] = [];
    await Promise.all([other.logits().then(() => order.push("text")), state.logits().then(() => order.push("step"))]);
    expect(order).toEqual(["step", "text"]);
  });

  it("says in a profile what unpacking took", async () => {
    await using profiled = await createNodeBackend({ threads: 2, profile: true });
    const checkpoint = await openCheckpoint(packed);
    await using other = await loadGemma({ config, checkpoint, backend: profiled, imageTokenIndex: IMAGE });
    using state = other.start({ inputIds: idsOf(words(150)) });
    await state.logits();
    const profile = await profiled.endProfile();
    const named = Object.fromEntries(profile.map(({ graph, ...rest }) => [graph, rest]));
    expect(named["gemma, a layer"]!.runs).toBe(LAYERS);
    expect(named["matrices that become panels"]).toMatchObject({ operators: [] });
    expect(named["matrices that become panels"]!.runs).toBeGreaterThanOrEqual(LAYERS);
    expect(named["matrices that become panels"]!.milliseconds).toBeGreaterThan(0);
    expect(await profiled.endProfile()).toEqual(profile);
  });

  it("takes a short text as it is", async () => {
    await expectClose({ inputIds: idsOf(words(20)) }, (state) => state.logits());
    expect(runs).toEqual(["gemma"]);
  });

  it("puts pictures before a text of any length", async () => {
    const imageFeatures = random([4, WIDTH], 99);
    const inputIds = idsOf([IMAGE, IMAGE, IMAGE, IMAGE, ...words(9)]);
    await expectClose({ inputIds, imageFeatures }, (state) => state.logits());
    expect(layers()).toBe(LAYERS);
  });

  it("takes batches with padding on either side", async () => {
    const mask = [
      Array(60).fill(1),
      [...Array(20).fill(0), ...Array(40).fill(1)],
      [...Array(33).fill(1), ...Array(27).fill(0)],
    ];
    const prompt = {
      inputIds: idsOf(words(60, 1), words(60, 2), words(60, 3)),
      attentionMask: idsOf(...mask),
      tokenTypeIds: idsOf(...mask.map((row) => row.map((_, i) => (i < 30 ? 0 : 1)))),
    };
    await expectClose(prompt, (state) => state.logits());
    expect(layers()).toBe(LAYERS);
  });

  it("scores every token of a text", async () => {
    const prompt = { inputIds: idsOf(words(130)) };
    const rows = Array.from({ length: 130 }, (_, i) => i);
    const [actual, expected] = [await decoder.logits(prompt, rows), await reference.logits(prompt, rows)];
    expect(actual.shape).toEqual([130, VOCABULARY]);
    expect(distance(actual.data, expected.data)).toBeLessThan(TOLERANCES["quantization/layerwise"]);
    expect(layers()).toBe(LAYERS);
  });

  it("continues a text with many tokens at once, of which some or all are scored", async () => {
    const tokens = Int32Array.from([0, 1, 700, VOCABULARY - 1]);
    for (const which of ["last", "every"] as const) {
      await expectClose({ inputIds: idsOf(words(10)) }, async (state) => {
        await state.logits();
        return await state.advanceMany([words(140, 5)], which, tokens);
      });
    }
    expect(layers()).toBe(2 * LAYERS);
  });

  it("chooses the likeliest", async () => {
    using state = decoder.start({ inputIds: idsOf(words(140)) });
    using other = decoder.start({ inputIds: idsOf(words(140)) });
    const [[chosen]] = (await state.advanceGreedy(1, [])) as [number[]];
    const { data } = await other.logits();
    expect(chosen).toBe(data.indexOf(Math.max(...data)));
  });

  it("takes its turns, and leaves nothing behind, whatever ends it", async () => {
    const prompts = [1, 2, 3].map((seed) => ({ inputIds: idsOf(words(150, seed)) }));
    const alone: Float32Array[] = [];
    for (const prompt of prompts) {
      using state = decoder.start(prompt);
      alone.push((await state.logits()).data);
    }
    const { tensors } = await backend.stats();
    const states = prompts.map((prompt) => decoder.start(prompt));
    const together = await Promise.all(states.map((state) => state.logits()));
    together.forEach(({ data }, i) => expect(data).toEqual(alone[i]));
    for (const state of states) state.dispose();

    for (const after of ["gemma, before the layers", "gemma, a layer", "gemma, scores of a part"]) {
      const controller = new AbortController();
      const reason = new Error("enough");
      runs.splice(0);
      const state = decoder.start(prompts[0]!, { signal: controller.signal });
      const failure = state.logits().then(
        () => undefined,
        (error: unknown) => error,
      );
      while (!runs.includes(after)) await new Promise((resolve) => setImmediate(resolve));
      controller.abort(reason);
      expect(await failure).toBe(reason);
      state.dispose();
    }
    // One that waits for its turn does not wait to be told.
    const waiting = new AbortController();
    const busy = decoder.start(prompts[0]!);
    const late = decoder.start(prompts[1]!, { signal: waiting.signal });
    const [first, second] = [busy.logits(), late.logits().catch((error: unknown) => error)];
    let done = false;
    void first.then(() => (done = true));
    await new Promise((resolve) => setImmediate(resolve));
    waiting.abort("changed my mind");
    expect(await second).toBe("changed my mind");
    expect(done).toBe(false);
    expect((await first).data).toEqual(alone[0]);
    busy.dispose();
    late.dispose();
    using state = decoder.start(prompts[1]!);
    expect((await state.logits()).data).toEqual(alone[1]);
    state.dispose();
    expect((await backend.stats()).tensors).toBe(tensors);
  });

  it("says that a file has changed, and goes on when it is as it was", async () => {
    const { size } = await stat(packed);
    await appendFile(packed, "!");
    using state = decoder.start({ inputIds: idsOf(words(150)) });
    await expect(state.logits()).rejects.toMatchObject({
      code: "backend/changed",
      message: expect.stringContaining(`had ${size} bytes when it was opened and has ${size + 1} now`),
    });
    await truncate(packed, size);
    expect((await state.logits()).data.some((score) => score !== 0)).toBe(true);
  });
});
