import { readFile } from "node:fs/promises";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
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
  let backend: Backend;
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
