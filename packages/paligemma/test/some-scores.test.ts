import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNodeBackend, type NodeBackend } from "@paligemma/backend-node";
import { fromFloat32 } from "@paligemma/core";
import { gemmaGraph, loadGemma, type DecoderState, type GemmaDecoder, type Scores } from "@paligemma/gemma";
import { CPU } from "@paligemma/graph";
import { quantizeMatrix } from "@paligemma/quantization";
import { ndTensor, type QuantizedFormat, type TensorRef } from "@paligemma/weights";
import { openCheckpoint, writeSafetensors } from "@paligemma/weights/node";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { idsOf, largeHeadConfig, randomNumbers } from "./small-decoder.ts";
import { tellingBackend } from "./telling-backend.ts";

const config = largeHeadConfig("gemma2", {
  query_pre_attn_scalar: 32,
  sliding_window: 16,
  final_logit_softcapping: 30,
  attn_logit_softcapping: 50,
});
const { vocabSize: VOCABULARY } = config;

/** Parts of every tensor of the decoder: matrices in this format. */
function tensors(
  format: "float32" | "bfloat16" | (Omit<QuantizedFormat, "blockSize"> & { readonly blockSize?: number }),
): TensorRef[] {
  return gemmaGraph(config, CPU)
    .initializers.filter(({ data }) => !data)
    .flatMap(({ name, shape }, i) => {
      const numbers = randomNumbers(shape, i, 0.6);
      if (typeof format === "string") return [ndTensor(name, fromFloat32(numbers, format))];
      if (shape.length < 2) return [ndTensor(name, numbers)];
      return quantizeMatrix(ndTensor(name, numbers), { ...format, blockSize: format.blockSize ?? shape[1]! });
    });
}

/** Two ranges, and single ones at both ends. */
const TOKENS = Int32Array.from([0, 1, 130, ...Array.from({ length: 300 }, (_, i) => 40_000 + i), VOCABULARY - 1]);

describe.each([
  ["float32", "float32", 1e-5],
  ["bfloat16", "bfloat16", 1e-5],
  // The same products.
  ["8 bits, whole rows", { bits: 8, zeroPoints: false }, 0],
  // The runtime rounds what it multiplies with blocks to 8 bits, and not what it multiplies with unpacked rows.
  ["8 bits, blocks", { bits: 8, zeroPoints: true, blockSize: 32 }, TOLERANCES["quantization/product"]],
  ["4 bits", { bits: 4, zeroPoints: false, blockSize: 32 }, TOLERANCES["quantization/product"]],
] as const)("scores of some tokens, %s", (_name, format, tolerance) => {
  let folder: string;
  let backend: NodeBackend;
  let decoder: GemmaDecoder;
  const runs: string[] = [];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "some-scores-"));
    const path = join(folder, "model.safetensors");
    await writeSafetensors(path, tensors(format));
    backend = await createNodeBackend();
    const telling = tellingBackend(backend, (graph) => runs.push(graph));
    decoder = await loadGemma({ config, checkpoint: await openCheckpoint(path), backend: telling, finalSoftcap: true });
  }, 120_000);
  afterAll(async () => {
    await decoder.dispose();
    await backend.dispose();
    await rm(folder, { recursive: true });
  });

  function expectSame(some: Scores, all: Scores, tokens: Int32Array): void {
    expect([some.rows, some.vocabulary]).toEqual([all.rows, tokens.length]);
    const picked = Array.from({ length: all.rows }, (_, row) =>
      Array.from(tokens, (token) => all.data[row * VOCABULARY + token]!),
    ).flat();
    const largest = picked.reduce((most, score) => Math.max(most, Math.abs(score)), 0);
    const furthest = picked.reduce((most, score, i) => Math.max(most, Math.abs(score - some.data[i]!)), 0);
    expect(largest).toBeGreaterThan(0.1);
    expect(furthest).toBeLessThanOrEqual(tolerance * largest);
  }

  beforeEach(() => void runs.splice(0));

  it.each([1, 3, 6])("are those among all, for %i rows: after a prompt, a step and a run", async (rows) => {
    const prompt = { inputIds: idsOf(...Array.from({ length: rows }, (_, row) => [2, 10 + row, 40_001, 7])) };
    using one = decoder.start(prompt);
    using other = decoder.start(prompt);
    const both = async (ask: (state: DecoderState, tokens?: Int32Array) => Promise<Scores>): Promise<void> =>
      expectSame(await ask(one, TOKENS), await ask(other), TOKENS);
    const scores = (state: DecoderState, tokens?: Int32Array): Promise<Scores> =>
      tokens ? state.logitsOf(tokens) : state.logits();
    await both(scores);
    expect(runs.filter((graph) => graph === "gemma, some scores")).toHaveLength(1);
    for (const token of [5, 40_007]) {
      const fed = Array.from({ length: rows }, (_, row) => token + row);
      await one.advance(fed);
      await other.advance(fed);
      await both(scores);
    }
    const further = Array.from({ length: rows }, (_, row) => [40_002, 9 + row]);
    for (const which of ["last", "every"] as const) {
      const [some, all] = [await one.advanceMany(further, which, TOKENS), await other.advanceMany(further, which)];
      expectSame(some, all, TOKENS);
    }
    // Where scores of all are there already, or are worth computing, they are picked out of those.
    const many = Int32Array.from({ length: VOCABULARY / 2 }, (_, i) => 2 * i);
    const fed = Array.from({ length: rows }, () => 3);
    await one.advance(fed);
    await other.advance(fed);
    const all = await other.logits();
    expectSame(await other.logitsOf(TOKENS), all, TOKENS);
    const before = runs.length;
    expectSame(await one.logitsOf(many), all, many);
    expect(runs.slice(before)).not.toContain("gemma, some scores");
  });

  it("leave nothing behind", async () => {
    const before = await backend.stats();
    const state = decoder.start({ inputIds: idsOf([2, 3, 4]) });
    await state.logitsOf(TOKENS);
    expect((await backend.stats()).tensors).toBeGreaterThan(before.tensors);
    state.dispose();
    expect((await backend.stats()).tensors).toBe(before.tensors);
  });
});
