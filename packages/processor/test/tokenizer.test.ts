import { createTextStream, createTokenizer } from "@paligemma/processor";
import { describe, expect, it } from "vitest";
import { readFixture, tokenizer, tokenizerFiles } from "./files.ts";

interface Oracle {
  cases: [text: string, ids: number[], decoded: string, plain: string][];
  decodings: [ids: number[], decoded: string, plain: string][];
}
const oracle: Oracle = readFixture("tokenizer/oracle.json");

describe("encode and decode equal the Python library", () => {
  it("on every text of the oracle", () => {
    for (const [text, ids, decoded, plain] of oracle.cases) {
      expect([text, tokenizer.encode(text)]).toEqual([text, ids]);
      expect(tokenizer.decode(ids)).toBe(decoded);
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(plain);
    }
    expect(oracle.cases.length).toBeGreaterThan(300);
  });

  it("on every text again with the pre-tokenizer of the released files", () => {
    const pre_tokenizer = { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious", invert: false };
    const released = createTokenizer({
      ...tokenizerFiles,
      tokenizerJson: { ...tokenizerFiles.tokenizerJson, pre_tokenizer },
    });
    for (const [text, ids] of oracle.cases) expect([text, released.encode(text)]).toEqual([text, ids]);
  });

  it("on random ids, also where bytes are no UTF-8", () => {
    for (const [ids, decoded, plain] of oracle.decodings) {
      expect([ids, tokenizer.decode(ids)]).toEqual([ids, decoded]);
      expect(tokenizer.decode(ids.map(BigInt), { skipSpecialTokens: true })).toBe(plain);
    }
  });

  it("gives text back", () => {
    for (const text of ["a red circle", " leading", "日本語 🙂", "<loc0000><seg127>", "a\n\n\nb"])
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect(tokenizer.decode([])).toBe("");
    expect(tokenizer.decode([tokenizer.size, tokenizer.size + 62])).toBe("");
    expect(tokenizer.encode("\ud800")).toEqual(tokenizer.encode("\ufffd"));
  });
});

describe("the vocabulary", () => {
  it("is found by content, not by the released numbers", () => {
    expect(tokenizer.special).toEqual({ bos: 2, eos: 1, pad: 0, image: 1658, newline: 261 });
    expect(tokenizer.locations).toEqual({ first: 506, count: 1024 });
    expect(tokenizer.segments).toEqual({ first: 1530, count: 128 });
    expect(tokenizer.size).toBe(1659);
    expect(tokenizer.idOf("<loc1023>")).toBe(1529);
    expect(tokenizer.tokenOf(1530)).toBe("<seg000>");
    expect([tokenizer.isSpecial(1658), tokenizer.isSpecial(506)]).toEqual([true, false]);
  });

  it("never adds <bos> or <eos> by itself, whatever the post-processor says", () => {
    expect(tokenizer.encode("a")).toHaveLength(1);
  });

  it("of 257,216 pieces and as many merges loads, encodes and decodes", () => {
    const { tokenizerJson, newline, pieces } = largeTokenizer();
    const large = createTokenizer({ tokenizerJson });
    expect(large.size).toBe(257_153);
    expect(large.special.newline).toBe(newline);
    expect(large.locations).toEqual({ first: 256_000, count: 1024 });
    expect(large.segments).toEqual({ first: 257_024, count: 128 });
    for (const piece of pieces) expect(large.encode(piece)).toEqual([large.idOf(piece)]);
    const long = `${pieces.join("")}<loc0512>\n`.repeat(50);
    expect(large.decode(large.encode(long))).toBe(long);
  });
});

describe("createTextStream", () => {
  it("gives the pieces of what decode gives, for any ids", () => {
    for (const skipSpecialTokens of [false, true]) {
      for (const ids of [...oracle.cases.map((item) => item[1]), ...oracle.decodings.map((item) => item[0])]) {
        const stream = createTextStream(tokenizer, { skipSpecialTokens });
        const text = ids.map((id) => stream.push([id])).join("") + stream.end();
        expect(text).toBe(tokenizer.decode(ids, { skipSpecialTokens }));
      }
    }
  });

  it("holds a character back until its bytes are there", () => {
    const stream = createTextStream(tokenizer);
    const pieces = [...tokenizer.encode("é"), ...tokenizer.encode("!")].map((id) => stream.push([id]));
    expect(pieces).toEqual(["", "", "é!"]);
  });
});

describe("errors", () => {
  const json = tokenizerFiles.tokenizerJson;
  const model = json["model"] as { vocab: Record<string, number> };
  it.each([
    ["no file", undefined, /^processor\/tokenizer-missing: .*tokenizer\.json/],
    ["null", null, /^processor\/tokenizer-missing/],
    ["unparsed text", '{"model":{}}', /^processor\/tokenizer: .*parse/],
    ["no vocabulary", { model: {} }, /^processor\/tokenizer: .*model\.vocab/],
    ["another model", { model: { type: "WordPiece", vocab: {} } }, /^processor\/tokenizer: .*WordPiece/],
    [
      "an id that is no number",
      { ...json, model: { ...model, vocab: { ...model.vocab, a: "x" } } },
      /^processor\/tokenizer: .*"a"/,
    ],
    [
      "an id of 2^52",
      { ...json, model: { ...model, vocab: { ...model.vocab, a: 2 ** 52 } } },
      /^processor\/tokenizer: .*at most/,
    ],
    [
      "location tokens out of order",
      { ...json, model: { ...model, vocab: { ...model.vocab, "<loc0005>": 4000 } } },
      /^processor\/tokenizer: <loc0005> has the id 4000/,
    ],
    [
      "no newline",
      {
        ...json,
        model: { ...model, vocab: Object.fromEntries(Object.entries(model.vocab).filter(([piece]) => piece !== "\n")) },
      },
      /^processor\/tokenizer: .*newline/,
    ],
  ])("%s", (_name, tokenizerJson, message) => {
    expect(() => createTokenizer({ tokenizerJson })).toThrow(message);
  });

  it("what is no id, and what is no text", () => {
    expect(() => tokenizer.decode([-100])).toThrow(/^processor\/token: .*-100/);
    expect(() => tokenizer.decode([0.5])).toThrow(/^processor\/token/);
    expect(() => tokenizer.encode(7 as never)).toThrow(/^processor\/text/);
    expect(() => tokenizer.encode("a".repeat(1_000_001))).toThrow(/^processor\/text/);
  });
});

/** As large as Gemma's, its pieces the words over "a" to "p" in order of length, each merged from its parts. */
function largeTokenizer(): { tokenizerJson: object; newline: number; pieces: string[] } {
  const letters = "abcdefghijklmnop".split("");
  const vocab: Record<string, number> = { "<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "\n": 4 };
  const words = [...letters];
  const merges: [string, string][] = [];
  let next = 5;
  for (const word of words) vocab[word] = next++;
  for (let at = 0; next < 256_000; at++) {
    for (const letter of letters) {
      if (next === 256_000) break;
      const word = words[at]! + letter;
      words.push(word);
      vocab[word] = next++;
      merges.push([words[at]!, letter]);
    }
  }
  for (let i = 0; i < 1024; i++) vocab[`<loc${String(i).padStart(4, "0")}>`] = next++;
  for (let i = 0; i < 128; i++) vocab[`<seg${String(i).padStart(3, "0")}>`] = next++;
  const decoder = {
    type: "Sequence",
    decoders: [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "ByteFallback" }, { type: "Fuse" }],
  };
  const tokenizerJson = {
    added_tokens: [],
    decoder,
    model: { type: "BPE", vocab, merges, unk_token: "<unk>", byte_fallback: true },
  };
  return { tokenizerJson, newline: 4, pieces: [words[20]!, words[200]!] };
}
