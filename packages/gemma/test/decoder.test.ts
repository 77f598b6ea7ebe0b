import { readFile } from "node:fs/promises";
import { createNodeBackend, type NodeBackend } from "@paligemma/backend-node";
import { parseConfig } from "@paligemma/config";
import { ndArray, type NdArray } from "@paligemma/core";
import { loadGemma, type GemmaDecoder } from "@paligemma/gemma";
import { generate } from "@paligemma/generation";
import { openSafetensors } from "@paligemma/weights";
import { fileSource } from "@paligemma/weights/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";

function ids(...rows: readonly (readonly number[])[]): NdArray<"int64"> {
  return ndArray("int64", [rows.length, rows[0]!.length], BigInt64Array.from(rows.flat().map(BigInt)));
}

describe.each(["pg1-tiny", "pg2-tiny", "pg2-tiny-w4"])("the decoder of %s alone", (name) => {
  let backend: NodeBackend;
  let decoder: GemmaDecoder;
  beforeAll(async () => {
    const folder = new URL(`../../paligemma/test/fixtures/hf-tiny/${name}/`, import.meta.url);
    const config = parseConfig(JSON.parse(await readFile(new URL("config.json", folder), "utf8"))).text;
    const checkpoint = await openSafetensors(await fileSource(new URL("model.safetensors", folder)));
    backend = await createNodeBackend();
    decoder = await loadGemma({ config, checkpoint, backend });
  });
  afterAll(async () => {
    await decoder.dispose();
    await backend.dispose();
  });

  it("completes text the same step by step as in one run", async () => {
    const prompt = [2, 10, 11, 12, 108];
    using state = decoder.start({ inputIds: ids(prompt) });
    const { sequences } = await generate(state, { maxNewTokens: 8 });
    const all = [...prompt, ...sequences[0]!];
    const logits = await decoder.logits(
      { inputIds: ids(all) },
      Array.from({ length: 8 }, (_, i) => prompt.length - 1 + i),
    );
    const vocabulary = logits.shape[1]!;
    sequences[0]!.forEach((token, i) => {
      const scores = logits.data.subarray(i * vocabulary, (i + 1) * vocabulary);
      expect(scores.indexOf(Math.max(...scores))).toBe(token);
    });
  });

  it("is causal without images: what follows changes nothing before it", async () => {
    const one = await decoder.logits({ inputIds: ids([2, 10, 11, 12]) }, [1]);
    const other = await decoder.logits({ inputIds: ids([2, 10, 30, 31]) }, [1]);
    one.data.forEach((score, i) => expect(Math.abs(score - other.data[i]!)).toBeLessThan(TOLERANCES["hf-tiny/logits"]));
  });

  it("chooses the same with the next step begun early, whatever is done in between", async () => {
    const prompt = { inputIds: ids([2, 10, 11]) };
    using plain = decoder.start(prompt);
    const [expected] = (await plain.advanceGreedy(40, [])) as [number[]];
    // Room for a few: early steps, and none where the cache must grow first.
    using state = decoder.start(prompt, { expectedTokens: 3 });
    const chosen: number[] = [];
    const next = async (stopAt: readonly number[] = []): Promise<void> => {
      chosen.push((await state.advanceGreedy(1, stopAt, 5))[0]![0]!);
    };
    for (let i = 0; i < 6; i++) await next();
    // Scores in between are those after the same tokens.
    const { data } = await state.logits();
    expect(data.indexOf(Math.max(...data))).toBe(expected[6]);
    for (let i = 0; i < 4; i++) await next();
    await state.rollback(3);
    await state.advance([chosen.at(-3)!]);
    chosen.length -= 2;
    for (let i = 0; i < 4; i++) await next();
    using twin = await state.fork();
    expect((await twin.advanceGreedy(2, []))[0]).toEqual(expected.slice(chosen.length, chosen.length + 2));
    // A token to stop at leaves the early step out; whoever goes on all the same gets it.
    for (let i = 0; i < 4; i++) await next([expected[chosen.length]!]);
    while (chosen.length < 40) await next();
    expect(chosen).toEqual(expected);
  });

  it("chooses the same for the rows of a batch, however many steps are asked for, until each row has stopped", async () => {
    const prompt = {
      inputIds: ids([2, 10, 11, 12], [0, 0, 2, 30], [0, 2, 7, 8]),
      attentionMask: ids([1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1]),
    };
    using plain = decoder.start(prompt);
    const expected: number[][] = [[], [], []];
    for (let i = 0; i < 30; i++) {
      const { data, vocabulary } = await plain.logits();
      const best = expected.map((_, row) => {
        const scores = data.subarray(row * vocabulary, (row + 1) * vocabulary);
        return scores.indexOf(Math.max(...scores));
      });
      best.forEach((token, row) => expected[row]!.push(token));
      await plain.advance(best);
    }
    for (const [steps, more] of [
      [30, 0],
      [7, 0],
      [1, 9],
    ] as const) {
      using state = decoder.start(prompt, { expectedTokens: 20 });
      const chosen: number[][] = [[], [], []];
      while (chosen[0]!.length < 30)
        (await state.advanceGreedy(Math.min(steps, 30 - chosen[0]!.length), [], more)).forEach((tokens, row) =>
          chosen[row]!.push(...tokens),
        );
      expect(chosen).toEqual(expected);
    }
    // Rows stop at their own places; the last of them ends it, and it goes on from there.
    const stopAt = [expected[0]![3]!, expected[1]![8]!, expected[2]![5]!];
    const upTo = expected.map((row) => row.findIndex((token) => stopAt.includes(token)) + 1);
    using state = decoder.start(prompt);
    expect(await state.advanceGreedy(30, stopAt)).toEqual(expected.map((row, i) => row.slice(0, upTo[i])));
    const done = Math.max(...upTo);
    expect(await state.advanceGreedy(30 - done, [])).toEqual(expected.map((row) => row.slice(done)));
  });

  it("lets a step that is under way end by itself when the state goes", async () => {
    const held = async (): Promise<number> => (await backend.stats()).tensors;
    const before = await held();
    const state = decoder.start({ inputIds: ids([2, 10, 11]) });
    await state.advanceGreedy(1, [], 5);
    state.dispose();
    expect(await held()).toBe(before);
    await expect(state.advanceGreedy(1, [], 5)).rejects.toThrow("gemma/disposed");
  });

  it("grows its cache when more tokens come than were expected", async () => {
    using short = decoder.start({ inputIds: ids([2, 10, 11]) }, { expectedTokens: 0 });
    using long = decoder.start({ inputIds: ids([2, 10, 11]) }, { expectedTokens: 300 });
    const one = await generate(short, { maxNewTokens: 200 });
    const other = await generate(long, { maxNewTokens: 200 });
    expect(one.sequences).toEqual(other.sequences);
  });

  it("refuses prompts that do not fit together", async () => {
    const wrong: [object, RegExp][] = [
      [{ inputIds: ids([2, 300]) }, /token id 300 is outside the vocabulary of 300/],
      [{ inputIds: ids([2, 3]), attentionMask: ids([1, 1, 1]) }, /attentionMask is \[1, 3\], inputIds are \[1, 2\]/],
      [{ inputIds: ids([2, 3]), attentionMask: ids([0, 0]) }, /row 0 is all padding/],
      [{ inputIds: ndArray("int64", [1, 0], new BigInt64Array(0)) }, /at least one of each/],
    ];
    for (const [prompt, message] of wrong) {
      expect(() => decoder.start(prompt as Parameters<GemmaDecoder["start"]>[0])).toThrow(message);
    }
  });

  it("says so when used after it was disposed", async () => {
    const state = decoder.start({ inputIds: ids([2, 10]) });
    state.dispose();
    await expect(state.logits()).rejects.toThrow(/gemma\/disposed/);
  });

  it("stops before its positions end", async () => {
    const long = Array.from({ length: 520 }, () => 10);
    await expect(decoder.logits({ inputIds: ids(long) }, [0])).rejects.toThrow(
      /gemma\/length.*reach 520 positions, the model has 512/,
    );
  });
});
