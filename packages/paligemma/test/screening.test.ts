import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend, type NodeBackend } from "@paligemma/backend-node";
import { fromFloat32, PaliGemmaError, type NdArray } from "@paligemma/core";
import { gemmaGraph, loadGemma, type DecoderState, type GemmaDecoder } from "@paligemma/gemma";
import { CPU } from "@paligemma/graph";
import { ndTensor } from "@paligemma/weights";
import { openCheckpoint, writeSafetensors } from "@paligemma/weights/node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { idsOf, largeHeadConfig, randomNumbers } from "./small-decoder.ts";
import { backendWith } from "./telling-backend.ts";

const config = largeHeadConfig("gemma");
const { vocabSize: VOCABULARY, hiddenSize: WIDTH } = config;
const TABLE = "language_model.model.embed_tokens.weight";

/** Rows that differ less from each other than from their bytes. */
function alike(table: NdArray<"float32">): NdArray<"float32"> {
  const data = table.data.map((value, i) => table.data[i % WIDTH]! + value / 1000);
  return { ...table, data };
}

describe.each(["float32", "bfloat16"] as const)("greedy steps by way of bytes, %s", (dtype) => {
  let folder: string;
  let backend: NodeBackend;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "screening-"));
    backend = await createNodeBackend({ profile: true, threads: 2 });
  });
  afterEach(async () => {
    await backend.dispose();
    await rm(folder, { recursive: true });
  });

  async function load(
    change: (table: NdArray<"float32">) => NdArray<"float32"> = (table) => table,
    on: Backend = backend,
  ): Promise<GemmaDecoder> {
    const path = join(folder, "model.safetensors");
    const tensors = gemmaGraph(config, CPU)
      .initializers.filter(({ data }) => !data)
      .map(({ name, shape }, i) => {
        const numbers = randomNumbers(shape, i, 0.6);
        return ndTensor(name, fromFloat32(name === TABLE ? change(numbers) : numbers, dtype));
      });
    await writeSafetensors(path, tensors);
    return await loadGemma({ config, checkpoint: await openCheckpoint(path), backend: on });
  }

  /** What the scores of all tokens say, one after the other. */
  async function byScores(state: DecoderState, count: number): Promise<readonly (readonly number[])[]> {
    const chosen: number[][] = Array.from({ length: state.rows }, () => []);
    for (let i = 0; i < count; i++) {
      const { data, vocabulary } = await state.logits();
      const best = chosen.map((_, row) => {
        const scores = data.subarray(row * vocabulary, (row + 1) * vocabulary);
        return scores.indexOf(scores.reduce((a, b) => Math.max(a, b)));
      });
      best.forEach((token, row) => chosen[row]!.push(token));
      await state.advance(best);
    }
    return chosen;
  }

  async function greedy(state: DecoderState, counts: readonly number[]): Promise<readonly (readonly number[])[]> {
    const chosen: number[][] = Array.from({ length: state.rows }, () => []);
    for (const count of counts)
      (await state.advanceGreedy(count, [])).forEach((tokens, row) => chosen[row]!.push(...tokens));
    return chosen;
  }

  /** How often each graph ran. */
  async function runsOf(): Promise<ReadonlyMap<string, number>> {
    return new Map((await backend.endProfile()).map(({ graph, runs }) => [graph, runs]));
  }

  const prompt = { inputIds: idsOf([2, 17, 4000, 65_000, 9]) };
  const pair = { inputIds: idsOf([2, 17, 4000, 65_000, 9], [2, 40_000, 5, 6, 7]) };

  it("chooses the tokens that all scores choose, once there have been steps enough", async () => {
    await using decoder = await load();
    for (const [given, counts] of [
      [prompt, [7, 25, 1, 40, 27]],
      [pair, [20, 20]],
    ] as const) {
      using state = decoder.start(given, { expectedTokens: 120 });
      using other = decoder.start(given, { expectedTokens: 120 });
      const total = counts.reduce((sum, count) => sum + count, 0);
      const expected = await byScores(other, total);
      // Not always the same token, which would tell little.
      expect(new Set(expected[0]).size).toBeGreaterThan(10);
      expect(await greedy(state, counts)).toEqual(expected);
    }
    const screened = (await runsOf()).get("gemma, best tokens") ?? 0;
    // Of 140 tokens the first of each text are its prompts, and the first 32 read the whole output layer.
    expect(screened).toBeGreaterThan(80);
    expect(screened).toBeLessThanOrEqual(140 - 32);
  }, 60_000);

  it("asks the whole output layer where that does not tell, and gives up where it never does", async () => {
    await using decoder = await load(alike);
    using state = decoder.start(prompt, { expectedTokens: 120 });
    using other = decoder.start(prompt, { expectedTokens: 120 });
    expect(await greedy(state, [33, 60])).toEqual(await byScores(other, 93));
    expect((await runsOf()).get("gemma, best tokens")).toBe(16);
  }, 60_000);

  it("goes on without where there is no memory for it, and tells of other faults", async () => {
    for (const code of ["backend/memory", "backend/worker"] as const) {
      const poor = backendWith(backend, {
        allocate: (type, shape) =>
          type === "int8" ? Promise.reject(new PaliGemmaError(code, "no")) : backend.allocate(type, shape),
      });
      await using decoder = await load(undefined, poor);
      using state = decoder.start(prompt, { expectedTokens: 120 });
      using other = decoder.start(prompt, { expectedTokens: 120 });
      if (code === "backend/memory") expect(await greedy(state, [33, 30])).toEqual(await byScores(other, 63));
      else await expect(greedy(state, [33, 30])).rejects.toMatchObject({ code });
    }
    expect((await runsOf()).get("gemma, best tokens")).toBe(undefined);
  }, 60_000);

  it("ends at a stop, and frees what it made", async () => {
    await using decoder = await load();
    const before = await backend.stats();
    {
      using state = decoder.start(prompt, { expectedTokens: 120 });
      const [first = []] = await greedy(state, [80]);
      using again = decoder.start(prompt, { expectedTokens: 120 });
      // The whole of an answer by screened steps now, up to a token that comes in the middle of it.
      const place = first.findIndex((token, i) => i > 20 && first.indexOf(token) === i);
      expect((await again.advanceGreedy(80, [first[place]!]))[0]).toEqual(first.slice(0, place + 1));
    }
    const kept = await backend.stats();
    expect(kept.sessions).toBeGreaterThan(before.sessions);
    // Bytes, scales, sums and errors of the output layer, and nothing of the texts.
    expect(kept.tensorBytes - before.tensorBytes).toBe(VOCABULARY * (WIDTH + 3 * 4));
    await decoder.dispose();
    expect((await backend.stats()).tensorBytes).toBe(before.tensorBytes);
  }, 60_000);
});
