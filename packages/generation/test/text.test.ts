import { createDetokenizer, feedTokens, generate, stream, textPieces, type TextPiece } from "@paligemma/generation";
import { describe, expect, test } from "vitest";
import { createPick, hashSource, scripted } from "./sources.ts";
import { decode as strict, encode, EOS, PIECES } from "./vocabularies.ts";

/** As Gemma's tokenizer decodes: a run of byte tokens that is no text becomes one replacement character per byte. */
function decode(ids: readonly number[]): string {
  const runs: number[][] = [];
  for (const id of ids) {
    const isByte = (one: number | undefined): boolean => one !== undefined && PIECES[one]!.startsWith("<0x");
    const last = runs[runs.length - 1];
    if (isByte(id) && last !== undefined && isByte(last[0])) last.push(id);
    else runs.push([id]);
  }
  return runs
    .map((run) => {
      try {
        return strict(run);
      } catch {
        return "\uFFFD".repeat(run.length);
      }
    })
    .join("");
}
const bytesOf = (text: string): number[] => Array.from(new TextEncoder().encode(text), (byte) => 5 + byte);

describe("text pieces", () => {
  test("a character that comes in bytes comes whole, when its last byte is there", () => {
    const detokenizer = createDetokenizer(decode);
    const pieces = [...encode("a"), ...bytesOf("é🐈"), ...encode(" cat")].map((id) => detokenizer.push(id));
    expect(pieces).toEqual(["a", "", "é", "", "", "", "🐈", " cat"]);
    expect(detokenizer.end()).toBe("");
  });
  test("an answer that ends within a character gives the rest as it is", () => {
    const detokenizer = createDetokenizer(decode);
    expect(
      bytesOf("é")
        .slice(0, 1)
        .map((id) => detokenizer.push(id)),
    ).toEqual([""]);
    expect(detokenizer.end()).toBe("\uFFFD");
  });
  test("the pieces of any text in any split are the text, and no piece holds part of a character", () => {
    const pick = createPick(31);
    const parts = ["cat", " ", "é", "日本", "🐈", "x", "\n", "ß", "👩‍🔬"];
    for (let i = 0; i < 500; i++) {
      const words = Array.from({ length: 1 + pick(12) }, () => parts[pick(parts.length)]!);
      const ids = words.flatMap((word) => (pick(2) || !PIECES.includes(word) ? bytesOf(word) : encode(word)));
      const detokenizer = createDetokenizer(decode);
      const pieces = [...ids.map((id) => detokenizer.push(id)), detokenizer.end()];
      expect(pieces.join("")).toBe(words.join(""));
      expect(pieces.filter((piece) => piece.includes("\uFFFD") || /\p{Surrogate}/u.test(piece))).toEqual([]);
    }
  });
  test("bytes that are no text do not hold up what follows", () => {
    const detokenizer = createDetokenizer(decode);
    const ids = [...Array.from({ length: 9 }, () => 5 + 0xff), ...encode("cat")];
    const pieces = [...ids.map((id) => detokenizer.push(id)), detokenizer.end()];
    expect(pieces.join("")).toBe(`${"\uFFFD".repeat(9)}cat`);
  });
  test("each piece has its token, score and time; the last one the reason", async () => {
    const answers = [
      [...bytesOf("é"), ...encode("cat"), EOS],
      [...encode("dog"), 5 + 0xc3],
    ];
    const pieces: TextPiece[] = [];
    for await (const piece of textPieces(
      stream(scripted(answers, PIECES.length), {
        maxNewTokens: 4,
        eosTokenId: EOS,
        outputScores: true,
        clock: () => 7,
      }),
      decode,
    ))
      pieces.push(piece);
    const textOf = (row: number): string =>
      pieces
        .filter((piece) => piece.row === row)
        .map(({ text }) => text)
        .join("");
    expect([textOf(0), textOf(1).slice(0, 4)]).toEqual(["écat", "dog\uFFFD"]);
    expect(
      pieces.filter(({ stoppedBy }) => stoppedBy !== undefined).map(({ row, stoppedBy }) => [row, stoppedBy]),
    ).toEqual([
      [0, "eos"],
      [1, "length"],
    ]);
    expect(pieces[0]).toMatchObject({ row: 0, text: "", token: 5 + 0xc3, index: 0, time: 0 });
    expect(pieces[0]!.score).toBeLessThan(0);
  });
  test("leaving the pieces leaves the stream", async () => {
    const source = hashSource([[3]], PIECES.length);
    for await (const _ of textPieces(stream(source, { maxNewTokens: 100 }), decode)) break;
    expect(source.counts).toMatchObject({ logits: 1, advance: 0 });
  });
});

test("an answer can be continued: feed its last token, ask for more", async () => {
  const all = await generate(hashSource([[3, 4]], 12), { maxNewTokens: 9 });
  for (const many of [false, true]) {
    const source = hashSource([[3, 4]], 12, { many });
    const first = await generate(source, { maxNewTokens: 4 });
    await feedTokens(
      source,
      first.sequences.map((row) => row.slice(-1)),
    );
    const rest = await generate(source, { maxNewTokens: 5 });
    expect([...first.sequences[0]!, ...rest.sequences[0]!]).toEqual(all.sequences[0]);
  }
  await expect(feedTokens(hashSource([[1], [2]], 12), [[1], [1, 2]])).rejects.toThrow(/all must have one length/);
});
