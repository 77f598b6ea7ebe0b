import { generate, type GenerateOptions } from "@paligemma/generation";
import * as c from "@paligemma/generation/constraints";
import { describe, expect, test } from "vitest";
import { type Abilities, sourceOf } from "./sources.ts";
import { accepts, after, decode, encode, EOS, gappy, LOC0, PIECES, SEG0, vocabulary } from "./vocabularies.ts";

const v = vocabulary();
const canonical = vocabulary({ encode });

const words = <State>(constraint: c.Constraint<State>, state: State): string[] =>
  Array.from(constraint.allowed(state).ids, (id) => PIECES[id]!);
const loc = (...bins: readonly number[]): number[] => bins.map((bin) => LOC0 + bin);

describe("texts split in any way", () => {
  const cats = c.oneOf(v, ["cat", "cats", "dog"]);
  test("every split is allowed, and nothing else", () => {
    expect(words(cats, cats.start).toSorted()).toEqual(["<0x63>", "<0x64>", "c", "ca", "cat", "d", "do"]);
    for (const split of [["cat"], ["ca", "t"], ["c", "at"], ["c", "a", "t"], ["<0x63>", "at"]]) {
      const state = after(
        cats,
        split.map((piece) => PIECES.indexOf(piece)),
      );
      expect(cats.accepting(state)).toBe(true);
      expect(words(cats, state)).toEqual(["<eos>", "<0x73>", "s"]);
    }
    expect(after(cats, [PIECES.indexOf("at")])).toBeUndefined();
  });
  test("with encode only the tokenizer's own split, which then is a forced run", () => {
    const circle = c.oneOf(canonical, ["a red circle"]);
    expect(circle.forced!(circle.start)).toEqual(encode("a red circle"));
    expect(circle.allowed(circle.start).size).toBe(1);
    expect(circle.distance!(circle.start)).toBe(encode("a red circle").length + 1);
  });
  test("an encode that adds something is found out", () => {
    const wrong = vocabulary({ encode: (text) => [2, ...encode(text)] });
    expect(() => c.oneOf(wrong, ["cat"])).toThrow(
      /generation\/vocabulary: encode gives \[2, \d+\] for "cat", which spells something else/,
    );
  });
  test("characters may be split over byte tokens", () => {
    const neko = c.oneOf(v, ["日本🐈"]);
    expect(accepts(neko, "日本🐈")).toBe(true);
    expect(neko.accepting(after(neko, [PIECES.indexOf("日本"), PIECES.indexOf("🐈")]))).toBe(true);
  });
  test("a vocabulary with gaps dead-ends, and the row says so", async () => {
    const run = async (answers: readonly string[]): Promise<unknown> => {
      const source = sourceOf([[0]], 5, () => [9, 0, 5, 1, 3]);
      const result = await generate(source, {
        maxNewTokens: 5,
        eosTokenId: EOS,
        constraint: c.oneOf(gappy(), answers),
      });
      return [result.sequences, result.stoppedBy];
    };
    // There is no token for the d.
    expect(await run(["abd"])).toEqual([[[0]], ["dead-end"]]);
    expect(await run(["abd", "c"])).toEqual([[[3, EOS]], ["eos"]]);
  });
  test("atoms are not spelled, and text is not an atom", () => {
    const text = c.regex(v, /.*/s);
    expect(text.allowed(text.start).has(LOC0)).toBe(false);
    expect(text.allowed(text.start).has(PIECES.length - 1)).toBe(false);
    expect(text.allowed(text.start).has(EOS)).toBe(true);
  });
});

describe("detections", () => {
  const detect = c.detections(v, { labels: ["cat", "red circle"], maxObjects: 2 });
  const cat = encode(" cat");
  const sep = encode(" ; ");

  test("boxes, labels of the list, a separator, and the end", () => {
    expect(detect.allowed(detect.start).size).toBe(1 + 1023);
    const state = after(detect, [...loc(1, 2, 3, 4), ...cat]);
    expect(detect.accepting(state)).toBe(true);
    expect(words(detect, state)).toContain("<eos>");
    expect(words(detect, state)).toContain("▁;▁");
    const second = after(detect, [...loc(1, 2, 3, 4), ...cat, ...sep, ...loc(1, 2, 5, 6), ...encode(" red circle")]);
    expect(words(detect, second)).toEqual(["<eos>"]);
  });
  test("no box without area, and none twice", () => {
    expect(detect.allowed(after(detect, loc(1000, 1010))).size).toBe(23);
    expect(detect.allowed(after(detect, loc(1000, 1010, 1001))).size).toBe(13);
    expect(after(detect, loc(1000, 1010, 1000))).toBeUndefined();
    const again = after(detect, [...loc(1022, 1021, 1023, 1022), ...cat, ...sep, ...loc(1022, 1021, 1023)]);
    expect(Array.from(detect.allowed(again).ids)).toEqual(loc(1023));
    // [1022, 1022] could only become the box that is there already, so it is not begun.
    const corner = after(detect, [...loc(1022, 1022, 1023, 1023), ...cat, ...sep, ...loc(1022)]);
    expect(detect.allowed(corner).has(LOC0 + 1022)).toBe(false);
    expect(detect.allowed(corner).has(LOC0 + 1021)).toBe(true);
    const loose = c.detections(v, { repeatedBoxes: true, emptyBoxes: true });
    expect(loose.allowed(after(loose, loc(5, 5, 5))).size).toBe(1024);
  });
  test("at least some objects", () => {
    const two = c.detections(v, { labels: ["cat"], minObjects: 2, maxObjects: 2 });
    expect(two.allowed(two.start).has(EOS)).toBe(false);
    const one = after(two, [...loc(1, 2, 3, 4), ...cat]);
    expect(two.allowed(one).has(EOS)).toBe(false);
    expect(two.accepting(one)).toBe(false);
    expect(two.accepting(after(two, [...loc(1, 2, 3, 4), ...cat, ...sep, ...loc(1, 2, 3, 5), ...cat]))).toBe(true);
  });
  test("with encode the separator is forced, then comes a location", () => {
    const strict = c.detections(canonical, { labels: ["cat"] });
    const state = after(strict, [...loc(1, 2, 3, 4), ...encode(" cat")]);
    expect(words(strict, state)).toEqual(["<eos>", "▁;▁"]);
    expect(strict.forced!(after(strict, loc(1, 2, 3, 4)))).toEqual(encode(" cat"));
  });
  test("segments have 16 mask tokens after each box", () => {
    const segment = c.segments(v);
    const masks = Array.from({ length: 16 }, (_, i) => SEG0 + i);
    expect(Array.from(segment.allowed(after(segment, loc(1, 2, 3, 4))).ids)).toEqual(
      Array.from({ length: 128 }, (_, i) => SEG0 + i),
    );
    expect(after(segment, [...loc(1, 2, 3, 4), ...masks.slice(1), ...cat])).toBeUndefined();
    expect(segment.accepting(after(segment, [...loc(1, 2, 3, 4), ...masks, ...cat]))).toBe(true);
  });
  test("labels that could not be read back, and vocabularies without locations, are errors", () => {
    for (const label of ["", " cat", "a;b", "a<b", "a\nb"])
      expect(() => c.detections(v, { labels: [label] })).toThrow(/cannot be read back/);
    expect(() => c.detections(v, { labels: [] })).toThrow(/generation\/constraint/);
    expect(() => c.detections(v, { maxObjects: 0 })).toThrow(/maxObjects 0/);
    expect(() => c.detections(gappy())).toThrow(/generation\/vocabulary: the vocabulary has no <loc> tokens/);
  });
});

describe("numbers, patterns, tags", () => {
  const NUMBERS: readonly (readonly [range: c.NumberRange, yes: readonly string[], no: readonly string[]])[] = [
    [{}, ["0", "-1", "3.14", "999999998.5", "0.5"], ["01", "-", "1.", ".5", "-0", "1e3", "+1", ""]],
    [{ integer: true }, ["0", "-17", "999999999999999"], ["1.0", "00", "1234567890123456"]],
    [
      { integer: true, minimum: 7, maximum: 1204 },
      ["7", "9", "10", "99", "100", "1199", "1204"],
      ["6", "1205", "1300", "2000", "0", "-8"],
    ],
    [{ integer: true, minimum: -12, maximum: 5 }, ["-12", "-1", "0", "5", "-9"], ["-13", "6", "-20", "-0"]],
    [{ integer: true, exclusiveMinimum: 0.5, exclusiveMaximum: 3 }, ["1", "2"], ["0", "3"]],
    [{ minimum: 0, maximum: 1 }, ["0", "1", "0.25", "0.0"], ["1.5", "2", "-0.1"]],
    [
      { exclusiveMinimum: 0, exclusiveMaximum: 2 },
      ["0.1", "0.000001", "1", "1.999999"],
      ["0", "0.0", "2", "2.1", "-1"],
    ],
    [{ maximum: -3 }, ["-3", "-3.5", "-4"], ["-2.9", "0", "3"]],
    [{ exclusiveMaximum: -3 }, ["-3.5", "-4"], ["-3", "-3.0", "-2"]],
  ];
  test.each(NUMBERS)("%o", (range, yes, no) => {
    const constraint = c.number(v, range);
    expect(yes.filter((text) => !accepts(constraint, text))).toEqual([]);
    expect(no.filter((text) => accepts(constraint, text))).toEqual([]);
  });
  test("a range without numbers is an error", () => {
    expect(() => c.number(v, { minimum: 3, maximum: 2 })).toThrow(/no number is in/);
    expect(() => c.number(v, { minimum: 0.5 })).toThrow(/a bound of a number is 0.5/);
  });
  test.each([0, 9, 10, 99, 123, 1000])("whole numbers from %d up, all of them", (low) => {
    for (const high of [low, low + 1, low + 7, low + 95, low + 1001]) {
      const constraint = c.number(v, { integer: true, minimum: low, maximum: high });
      const wrong: number[] = [];
      for (let value = Math.max(0, low - 120); value < high + 120; value++)
        if (accepts(constraint, String(value)) !== (value >= low && value <= high)) wrong.push(value);
      expect(wrong).toEqual([]);
    }
  });

  const PATTERNS: readonly (readonly [pattern: RegExp, yes: readonly string[], no: readonly string[]])[] = [
    [/[a-c]+x?/, ["a", "abcx"], ["", "x", "abd"]],
    [/(?:ab|c){2,3}/, ["abab", "cabc", "ccc"], ["ab", "cccc"]],
    [/^\d{2}:\d{2}$/, ["12:34"], ["1:34", "12:345"]],
    [/[^a-z]\w\W\s\S/, ["Aa! b"], ["aa! b"]],
    [/a.c/, ["abc", "a日c", "a🐈c"], ["a\nc", "ac"]],
    [/a.c/s, ["a\nc"], []],
    [/CaT\u{1F408}?/iu, ["cat", "CAT🐈"], ["cut"]],
    [/[\w-]+|\x41\u0042\t/, ["a-b", "AB\t"], ["a b"]],
    [/(?<name>é|[日-本])*/, ["", "éé日"], ["e"]],
    [/a{0}b{2}/, ["bb"], ["b", "abb"]],
    [/[^]/, ["x", "\n"], [""]],
    [/a??b+?/, ["ab", "bb"], ["a"]],
  ];
  test.each(PATTERNS)("%o", (pattern, yes, no) => {
    const constraint = c.regex(v, pattern);
    expect(yes.filter((text) => !accepts(constraint, text))).toEqual([]);
    expect(no.filter((text) => accepts(constraint, text))).toEqual([]);
  });
  test("location tokens in a pattern", () => {
    const constraint = c.regex(v, String.raw`\p{loc}{2} cat\p{seg}?`);
    expect(constraint.accepting(after(constraint, [...loc(5, 6), ...encode(" cat"), SEG0]))).toBe(true);
    expect(() => c.regex(v, String.raw`\p{L}`)).toThrow(/generation\/pattern: .*class \\p\{L\}/);
  });
  test.each([
    "(?=a)",
    "(?!a)",
    "(?<=a)b",
    String.raw`(a)\1`,
    String.raw`\bcat`,
    "a**",
    "(a",
    "a)",
    "[a",
    "[z-a]",
    "a{3,2}",
    "a{2000}",
    "^^a",
    "a$b",
    "*a",
    "\\",
  ])("%s cannot be kept", (pattern) => {
    expect(() => c.regex(v, pattern)).toThrow(/generation\/pattern/);
  });
  test("flags and nesting that cannot be kept", () => {
    expect(() => c.regex(v, /a/m)).toThrow(/flag m/);
    expect(() => c.regex(v, `${"(".repeat(200)}a${")".repeat(200)}`)).toThrow(/nested groups/);
    expect(() => c.regex(v, "((a{1000}){1000})")).toThrow(/more than 200000 nodes/);
  });
  test("tags", () => {
    const menu = c.donut(v, {
      fields: {
        menu: { items: { fields: { name: "text", kind: { choices: ["hot", "cold"] } }, optional: ["kind"] } },
        total: "text",
      },
      optional: ["total"],
    });
    expect(accepts(menu, "<s_menu><s_name>Tea</s_name></s_menu>")).toBe(true);
    expect(
      accepts(
        menu,
        "<s_menu><s_name>Tea</s_name><s_kind>hot</s_kind><sep/><s_name>日本</s_name></s_menu><s_total>4.5</s_total>",
      ),
    ).toBe(true);
    for (const wrong of [
      "",
      "<s_menu></s_menu>",
      "<s_menu><s_name>Tea</s_menu>",
      "<s_menu><s_kind>hot</s_kind></s_menu>",
      "<s_menu><s_name>T<a</s_name></s_menu>",
    ]) {
      expect(accepts(menu, wrong)).toBe(false);
    }
    expect(() => c.donut(v, { fields: { "a b": "text" } })).toThrow(/names have no space/);
    expect(() => c.donut(v, { choices: [] })).toThrow(/at least one/);
  });
});

describe("in the loop", () => {
  test("a forced run is fed in one run of the model, and its scores are there when asked for", async () => {
    const constraint = c.oneOf(canonical, ["one red dog", "one red cat"]);
    const run = async (many: boolean, outputScores: boolean): Promise<[number[], number, number[] | undefined]> => {
      const source = sourceOf(
        [[0]],
        PIECES.length,
        (ids) => PIECES.map((piece, id) => Math.sin(id * ids.length) + (piece === "t" ? 3 : 0)),
        { many },
      );
      const result = await generate(source, { maxNewTokens: 9, eosTokenId: EOS, constraint, outputScores });
      expect(decode(result.sequences[0]!)).toMatch(/^one red (dog|cat)$/);
      return [[...result.sequences[0]!], result.cost.runs, result.tokenScores?.[0]?.slice()];
    };
    const [ids, runs] = await run(true, false);
    const [slowIds, slowRuns] = await run(false, false);
    const [scoredIds, , scores] = await run(true, true);
    const [, , slowScores] = await run(false, true);
    expect(slowIds).toEqual(ids);
    expect(scoredIds).toEqual(ids);
    expect(runs).toBeLessThan(slowRuns);
    expect(scores).toEqual(slowScores);
    expect(scores).toHaveLength(ids.length);
  });
  test("a source is asked for the scores of allowed tokens alone, and the answers are the same", async () => {
    const scores = (ids: readonly number[]): number[] =>
      PIECES.map((_, id) => Math.sin((id + 1) * (ids.length + 3) * (1 + ids.at(-1)!)));
    const run = async (can: Abilities, more: GenerateOptions = {}): Promise<readonly [unknown, number, number]> => {
      const source = sourceOf([[0], [1], [2]], PIECES.length, scores, can);
      const { sequences, stoppedBy } = await generate(source, {
        maxNewTokens: 30,
        eosTokenId: EOS,
        constraint: c.detections(v, { labels: ["cat", "dog"], maxObjects: 2 }),
        ...more,
      });
      return [[sequences, stoppedBy], source.counts.some, source.counts.logits];
    };
    for (const more of [{}, { doSample: true, seed: 3, topK: 5 }, { doSample: true, seed: 4, temperature: 2 }]) {
      const [expected] = await run({}, more);
      for (const can of [{}, { many: true }, { drops: true }, { many: true, rollback: true, drops: true }]) {
        const [answers, some, whole] = await run({ ...can, some: true }, more);
        expect(answers).toEqual(expected);
        expect(some).toBeGreaterThan(0);
        // Those of the prompt.
        expect(whole).toBe(1);
      }
    }
    // What looks at other tokens, or at all of them, is given all.
    const all = { some: true, many: true, rollback: true };
    for (const more of [{ outputScores: true }, { suppressTokens: [3] }, { numBeams: 2 }]) {
      const [expected] = await run({}, more);
      expect((await run(all, more)).slice(0, 2)).toEqual([expected, 0]);
    }
    const mixed = [c.yesNo(v), undefined, c.yesNo(v)];
    const [expected] = await run({}, { constraint: mixed });
    const [answers, some] = await run(all, { constraint: mixed });
    expect(answers).toEqual(expected);
    expect(some).toBe(0);
  });
  test("a source that gives other scores than it was asked for is told so", async () => {
    const source = { ...sourceOf([[0]], PIECES.length, () => PIECES.map(() => 0), { some: true }) };
    source.logitsOf = () => source.logits();
    await expect(generate(source, { eosTokenId: EOS, constraint: c.detections(v, { minObjects: 1 }) })).rejects.toThrow(
      /generation\/source: the source gave scores of \d+ tokens where those of \d+ were asked for/,
    );
  });
  test("each request has its own constraint", async () => {
    const source = sourceOf([[0], [0], [0]], PIECES.length, () =>
      PIECES.map((_, id) => (id === PIECES.indexOf("q") ? 9 : 0)),
    );
    const { sequences } = await generate(source, {
      maxNewTokens: 4,
      eosTokenId: EOS,
      constraint: [c.yesNo(canonical), undefined, c.oneOf(canonical, ["dog"])],
    });
    expect(decode(sequences[0]!)).toMatch(/^(yes|no)$/);
    expect(decode(sequences[1]!)).toBe("qqqq");
    expect(decode(sequences[2]!)).toBe("dog");
  });
  test("a prefix that the constraint does not allow is an error", async () => {
    const source = sourceOf([[0]], PIECES.length, () => PIECES.map(() => 0));
    await expect(
      generate(source, { eosTokenId: EOS, constraint: c.yesNo(v), responsePrefix: encode("cat") }),
    ).rejects.toThrow(/responsePrefix does not fit the constraint/);
  });
  test("a constraint needs the end-of-sequence tokens of its vocabulary", async () => {
    const source = sourceOf([[0]], PIECES.length, () => PIECES.map(() => 0));
    await expect(generate(source, { constraint: c.yesNo(v) })).rejects.toThrow(
      /constraint is given without eosTokenId/,
    );
  });
});
