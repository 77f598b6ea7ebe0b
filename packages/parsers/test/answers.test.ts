import {
  formatList,
  formatNumber,
  formatOcrLines,
  formatYesNo,
  parseList,
  parseNumber,
  parseOcrLines,
  parseYesNo,
} from "@paligemma/parsers";
import { describe, expect, it } from "vitest";

describe("parseNumber", () => {
  it.each([
    ["3", 3, ""],
    [" -3.5 ", -3.5, ""],
    ["1,234,567.8", 1_234_567.8, ""],
    ["1e3", 1000, ""],
    [".5", 0.5, ""],
    ["\u22122", -2, ""],
    ["twelve", 12, ""],
    ["Four cats", 4, "cats"],
    ["about 12 dogs", 12, "about\ndogs"],
    ["$5.20", 5.2, "$"],
    ["1,23", 1, ",23"],
    ["in 2019", 2019, "in"],
    ["a4 paper, size 7", 7, "a4 paper, size"],
    ["oneness", undefined, "oneness"],
    ["none", undefined, "none"],
    ["", undefined, ""],
  ])("reads %j", (text, value, rest) => {
    expect(parseNumber(text)).toMatchObject({ value, rest, percent: false });
  });

  it("tells percent", () => {
    expect(parseNumber("12 %")).toMatchObject({ value: 12, percent: true, rest: "" });
  });

  it("reads back what it writes", () => {
    for (const value of [0, -1, 0.1, 1e21, 1.5e-9, Number.MAX_SAFE_INTEGER, -123_456.789])
      expect(parseNumber(formatNumber(value)).value).toBe(value);
    expect(() => formatNumber(Number.NaN)).toThrow(/parsers\/number/);
  });
});

describe("parseYesNo", () => {
  it.each([
    ["yes", true, ""],
    ["No.", false, ""],
    [' "Yes", it is', true, "it is"],
    ["no cats", false, "cats"],
    ["nothing", undefined, "nothing"],
    ["not yes", undefined, "not yes"],
  ])("reads %j", (text, value, rest) => {
    expect(parseYesNo(text)).toMatchObject({ value, rest });
  });

  it("reads back what it writes", () => {
    expect([true, false].map((value) => parseYesNo(formatYesNo(value)).value)).toEqual([true, false]);
  });
});

describe("parseList", () => {
  it.each([
    ["cat, dog,bird", ["cat", "dog", "bird"]],
    ["cat ; dog, big ;", ["cat", "dog, big"]],
    ["- cat\n* dog\n\n3. bird\n", ["cat", "dog", "bird"]],
    ["cat", ["cat"]],
    [" ; ", []],
    ["", []],
  ])("reads %j", (text, items) => {
    const read = parseList(text);
    expect(read.map((item) => item.text)).toEqual(items);
    if (items.length > 0) expect(read.map(({ span }) => text.slice(span.start, span.end)).join("")).toBe(text);
  });

  it("reads back what it writes", () => {
    const items = ["a", "b c", "d-e"];
    for (const separator of [";", ",", "\n"] as const)
      expect(parseList(formatList(items, separator), { separator }).map((i) => i.text)).toEqual(items);
    for (const bad of ["", " a", "a;b"]) expect(() => formatList([bad])).toThrow(/parsers\/list/);
    expect(() => formatList(["- a"], "\n")).toThrow(/parsers\/list/);
  });
});

describe("parseOcrLines", () => {
  it("reads lines, with boxes where they stand", () => {
    const answer =
      "HELLO; WORLD\n\nTotal 5.00 <loc0000><loc0000><loc1023><loc1023>\n<loc0000><loc0000><loc1023><loc1023> VAT";
    const lines = parseOcrLines(answer);
    const whole = { yMin: 0, xMin: 0, yMax: 1, xMax: 1 };
    expect(lines.map(({ text, box }) => (box ? { text, box } : { text }))).toEqual([
      { text: "HELLO; WORLD" },
      { text: "Total 5.00", box: whole },
      { text: "VAT", box: whole },
    ]);
    expect(lines.map(({ span }) => answer.slice(span.start, span.end)).join("")).toBe(answer);
  });

  it("reads back what it writes", () => {
    const lines = [
      { text: "A; b" },
      { text: "C", box: { yMin: 0, xMin: 0, yMax: 1, xMax: 1 } },
      { text: "", box: { yMin: 0, xMin: 0, yMax: 1, xMax: 1 } },
    ];
    expect(parseOcrLines(formatOcrLines(lines)).map(({ text, box }) => (box ? { text, box } : { text }))).toEqual(
      lines,
    );
    expect(() => formatOcrLines([{ text: "a\nb" }])).toThrow(/parsers\/list/);
  });
});
