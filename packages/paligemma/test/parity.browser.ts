import { createWebGpuBackend, type WebGpuBackend } from "@paligemma/backend-webgpu";
import { parseConfig, type PaliGemmaConfig } from "@paligemma/config";
import type { NdArray } from "@paligemma/core";
import { generate, type GenerateOptions } from "@paligemma/generation";
import { memorySource, openAdapter, openSafetensors, type Checkpoint } from "@paligemma/weights";
import { createModel, type PaliGemmaModel } from "paligemma";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { INPUTS, NAMES, farthest, int64, maskOf, pixels, upToEnd, type TinyAnswers } from "./hf-tiny-cases.ts";

interface Tiny {
  readonly config: PaliGemmaConfig;
  readonly checkpoint: Checkpoint;
  readonly expected: Checkpoint;
  readonly answers: TinyAnswers;
}

async function openTiny(name: (typeof NAMES)[number]): Promise<Tiny> {
  const file = (path: string): Promise<Response> =>
    fetch(new URL(`./fixtures/hf-tiny/${name}/${path}`, import.meta.url));
  const tensors = async (path: string): Promise<Checkpoint> =>
    openSafetensors(memorySource(new Uint8Array(await (await file(path)).arrayBuffer())));
  return {
    config: parseConfig(await (await file("config.json")).json()),
    checkpoint: await tensors("model.safetensors"),
    expected: await tensors("expected.safetensors"),
    answers: (await (await file("expected.json")).json()) as TinyAnswers,
  };
}

let backend: WebGpuBackend;
beforeAll(async () => {
  backend = await createWebGpuBackend();
});
afterAll(() => backend.dispose());

describe.each(NAMES)("%s on WebGPU equals transformers", (name) => {
  let tiny: Tiny;
  let model: PaliGemmaModel;
  beforeAll(async () => {
    tiny = await openTiny(name);
    model = await createModel({ config: tiny.config, checkpoint: tiny.checkpoint, backend });
  });
  afterAll(() => model.dispose());

  async function expectLogits(actual: NdArray<"float32">, key: string): Promise<void> {
    const { data } = await tiny.expected.read(key);
    expect(farthest(actual.data, data as Float32Array)).toBeLessThan(TOLERANCES["hf-tiny/logits, webgpu"]);
  }

  it("in all logits of a prompt", async () => {
    const { logits } = await model.forward({ pixelValues: pixels(1), inputIds: int64(INPUTS.A) });
    await expectLogits(logits, "A.logits");
  });

  it("in the last logits of a left-padded batch, and with two pictures in one prompt", async () => {
    const batch = { pixelValues: pixels(2), inputIds: int64(INPUTS.B), attentionMask: maskOf(INPUTS.B) };
    await expectLogits((await model.forward(batch, { logitsToKeep: 1 })).logits, "B.logits_last");
    const two = { pixelValues: pixels(2), inputIds: int64(INPUTS.C) };
    await expectLogits((await model.forward(two, { logitsToKeep: 1 })).logits, "C.logits_last");
  });

  it.each(["gen.greedy", "gen.greedy_batch", "gen.beam3"])("in the tokens of %s", async (key) => {
    const { args, new_tokens: expected } = tiny.answers[key]!;
    const rows = key.endsWith("batch") ? INPUTS.B : INPUTS.A;
    using state = await model.start({
      pixelValues: pixels(rows.length),
      inputIds: int64(rows),
      attentionMask: maskOf(rows),
    });
    const options: GenerateOptions = {
      maxNewTokens: args["max_new_tokens"] as number,
      numBeams: (args["num_beams"] as number | undefined) ?? 1,
      numReturnSequences: (args["num_return_sequences"] as number | undefined) ?? 1,
    };
    const { sequences } = await generate(state, { eosTokenId: 1, promptIds: rows, ...options });
    expect(sequences).toEqual(expected.map(upToEnd));
  });

  it("decodes greedily with 8 bytes per row and step from the GPU, and no new buffer after the second step", async () => {
    for (const rows of [INPUTS.A, INPUTS.B]) {
      const inputs = { pixelValues: pixels(rows.length), inputIds: int64(rows), attentionMask: maskOf(rows) };
      using state = await model.start(inputs, { expectedTokens: 40 });
      await state.advanceGreedy(1, []);
      const steps: { read: number; created: number }[] = [];
      for (let step = 0; step < 32; step++) {
        const before = await backend.stats();
        await state.advanceGreedy(1, []);
        const after = await backend.stats();
        steps.push({
          read: after.bytesFromDevice - before.bytesFromDevice,
          created: after.buffersCreated - before.buffersCreated,
        });
      }
      expect(steps.slice(2)).toEqual(steps.slice(2).map(() => ({ read: 8 * rows.length, created: 0 })));
    }
  });
});

describe("adapters on WebGPU", () => {
  const ADAPTERS = [
    ["pg2-tiny", "all-linear-rslora"],
    ["pg1-tiny", "projector-saved"],
  ] as const;

  it.each(ADAPTERS)("of %s: %s is swapped in and out, as PEFT keeps it apart", async (base, name) => {
    const at = (path: string): URL => new URL(`../../../tooling/fixtures/adapters/${name}/${path}`, import.meta.url);
    const bytes = async (path: string): Promise<Uint8Array> =>
      new Uint8Array(await (await fetch(at(path))).arrayBuffer());
    const paths = ["adapter_config.json", "adapter_model.safetensors"];
    const files = { name, paths: new Set(paths), open: async (path: string) => memorySource(await bytes(path), path) };
    const expected = await openSafetensors(memorySource(await bytes("expected.safetensors")));
    const { config, checkpoint } = await openTiny(base);
    await using model = await createModel({ config, checkpoint, backend, adapters: { own: await openAdapter(files) } });
    for (const [used, key] of [
      [null, "logits.base"],
      ["own", "logits.apart"],
      [null, "logits.base"],
    ] as const) {
      model.adapters.use(used);
      const { logits } = await model.forward({ pixelValues: pixels(1), inputIds: int64(INPUTS.A) });
      const { data } = await expected.read(key);
      expect(farthest(logits.data, data as Float32Array)).toBeLessThan(TOLERANCES["hf-tiny/logits, webgpu"]);
    }
  });
});
