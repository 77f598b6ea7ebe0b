import { parseJson, type JsonValue } from "@paligemma/parsers";
import { describe, expect, it } from "vitest";
import { createRandom, uncovered } from "./random.ts";

describe("parseJson", () => {
  it.each<[string, JsonValue | undefined, string, boolean]>([
    ['{"a": [1, 2.5, -3e2], "b": {"c": null, "d": true}}', { a: [1, 2.5, -300], b: { c: null, d: true } }, "", false],
    ['```json\n{"a": 1}\n```', { a: 1 }, "", false],
    ['Sure! {"a": "x \\" {"} ok?', { a: 'x " {' }, "Sure!\nok?", false],
    ["{} []", {}, "[]", false],
    ["[1, 2, ]", [1, 2], "", false],
    ['{ nonsense } {"a": 1}', { a: 1 }, "{ nonsense }", false],
    ['{"a": 1, "b": "hal', { a: 1 }, ', "b": "hal', true],
    ['[{"a": 1}, {"a": 2, "b', [{ a: 1 }, { a: 2 }], ', "b', true],
    ['[{"a": 1}, {"b', [{ a: 1 }], ', {"b', true],
    ["[1, 23", [1], ", 23", true],
    ["[1, 23,", [1, 23], ",", true],
    ["{", undefined, "{", true],
    ["42", 42, "", false],
    ['"text"', "text", "", false],
    ["no json", undefined, "no json", false],
    ["", undefined, "", false],
    ['{"__proto__": 1}', JSON.parse('{"__proto__": 1}') as JsonValue, "", false],
    ["[1 2]", undefined, "[1 2]", false],
    ["[01]", undefined, "[01]", false],
  ])("reads %j", (text, value, rest, truncated) => {
    expect(parseJson(text)).toMatchObject({ value, rest, truncated });
  });

  it("survives deep and unclosed nesting", () => {
    expect(parseJson("[".repeat(100_000)).value).toBeUndefined();
    expect(parseJson(`{"a":`.repeat(100_000)).value).toBeUndefined();
    expect(parseJson(`["\\"`.repeat(100_000)).rest).not.toBe("");
  });

  it("is inverse to JSON.stringify", () => {
    const random = createRandom(8);
    const make = (depth: number): JsonValue => {
      const kind = depth > 3 ? random.below(4) : random.below(6);
      if (kind === 0) return random.pick(["", 'a"b', "{[", "\\", "猫\n", "```"]);
      if (kind === 1) return (random.next() - 0.5) * 10 ** random.below(20);
      if (kind < 4) return random.pick([true, false, null, 0]);
      const items = Array.from({ length: random.below(4) }, () => make(depth + 1));
      return kind === 4 ? items : Object.fromEntries(items.map((item, i) => [`k${i}"`, item]));
    };
    for (let n = 0; n < 500; n++) {
      const value = make(0);
      expect(parseJson(JSON.stringify(value))).toMatchObject({ value, rest: "", truncated: false });
      expect(parseJson(`It is:\n\`\`\`json\n${JSON.stringify([value], null, 2)}\n\`\`\``)).toMatchObject({
        value: [value],
        rest: "It is:",
      });
    }
  });

  it("loses nothing of random answers", () => {
    const random = createRandom(9);
    const parts = ["{", "}", "[", "]", '"', '"a"', ":", ",", "1", "true", " ", "\\", "x", "```", "```json\n", "猫"];
    const lost: string[] = [];
    for (let n = 0; n < Number(process.env["FUZZ"] ?? 5000); n++) {
      const text = Array.from({ length: random.below(14) }, () => random.pick(parts)).join("");
      const read = parseJson(text);
      if (uncovered([...read.spans, ...read.restSpans], text.length) > 0) lost.push(text);
    }
    expect(lost).toEqual([]);
  });
});
