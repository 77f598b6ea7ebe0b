import { formatTags, parseTags, type Parsed, type TagValue } from "@paligemma/parsers";
import { describe, expect, it } from "vitest";
import { createRandom, uncovered } from "./random.ts";

describe("parseTags", () => {
  it.each<[string, TagValue | undefined, string, boolean]>([
    ["<s_total>5.00</s_total><s_date>1 May</s_date>", { total: "5.00", date: "1 May" }, "", false],
    [
      "<s_menu><s_nm>A</s_nm><s_price>1</s_price><sep/><s_nm>B</s_nm></s_menu>",
      { menu: [{ nm: "A", price: "1" }, { nm: "B" }] },
      "",
      false,
    ],
    ["<s_a>x<sep/> y </s_a>", { a: ["x", "y"] }, "", false],
    ["<s_A>x</s_a>", { A: "x" }, "", false],
    ["<s_a><s_a>x</s_a></s_a>", { a: { a: "x" } }, "", false],
    ["<s_a>1</s_a><s_a>2</s_a>", { a: ["1", "2"] }, "", false],
    ["plain text", "plain text", "", false],
    ["x<sep/>y", ["x", "y"], "", false],
    ["", undefined, "", false],
    ["Here: <s_a>x</s_a> done", { a: "x" }, "Here:\ndone", false],
    ["<s_a>x</s_a></s_b>", { a: "x" }, "</s_b>", false],
    ["<s_a>x</s_a><s_b>half", { a: "x" }, "<s_b>half", true],
    ["<s_m><s_a>x</s_a><sep/><s_a>y", { m: { a: "x" } }, "<s_a>y", true],
    ["<s_m><s_a>x</s_a><s_b>y</s_m>", { m: { a: "x" } }, "<s_b>y", false],
    ["<s_a>half", undefined, "<s_a>half", true],
    ["<s___proto__>x</s___proto__>", JSON.parse('{"__proto__":"x"}') as TagValue, "", false],
  ])("reads %j", (text, value, rest, truncated) => {
    expect(parseTags(text)).toMatchObject({ value, rest, truncated });
  });

  it("reads deep nesting without running out of stack", () => {
    const deep = 50_000;
    const { rest } = parseTags("<s_a>".repeat(deep) + "x" + "</s_a>".repeat(deep));
    expect(rest).not.toBe("");
  });

  it("loses nothing of random answers", () => {
    const random = createRandom(5);
    const parts = ["<s_a>", "</s_a>", "<s_b>", "</s_b>", "<sep/>", "x", " ", "y z", "<", "\n", "<s_>", "猫"];
    const lost: string[] = [];
    for (let n = 0; n < Number(process.env["FUZZ"] ?? 5000); n++) {
      const text = Array.from({ length: random.below(14) }, () => random.pick(parts)).join("");
      const read: Parsed<TagValue> = parseTags(text);
      if (uncovered([...read.spans, ...read.restSpans], text.length) > 0) lost.push(text);
    }
    expect(lost).toEqual([]);
  });
});

function randomValue(random: ReturnType<typeof createRandom>, depth: number, inList = false): TagValue {
  const kind = depth > 3 ? 0 : random.below(inList ? 2 : 3);
  if (kind === 0) return random.pick(["a", "5.00", "x y", "猫", "a < b"]);
  if (kind === 1) {
    const keys = ["menu", "nm", "price", "sub total", "ключ"].slice(0, 1 + random.below(5));
    return Object.fromEntries(keys.map((key) => [key, randomValue(random, depth + 1)]));
  }
  const sameKind = random.below(2);
  return Array.from({ length: 2 + random.below(3) }, () =>
    sameKind ? randomValue(random, 9) : { k: randomValue(random, depth + 1) },
  );
}

describe("formatTags", () => {
  it("sorts keys backwards unless told otherwise", () => {
    expect(formatTags({ a: "1", c: ["2", "3"], b: { d: "4" } })).toBe(
      "<s_c>2<sep/>3</s_c><s_b><s_d>4</s_d></s_b><s_a>1</s_a>",
    );
    expect(formatTags({ a: "1", b: "2" }, { keyOrder: "given" })).toBe("<s_a>1</s_a><s_b>2</s_b>");
  });

  it("is inverted by parseTags", () => {
    const random = createRandom(6);
    for (let n = 0; n < 500; n++) {
      const value = randomValue(random, 0);
      const { value: read, rest, truncated } = parseTags(formatTags(value));
      expect({ read, rest, truncated }).toEqual({ read: value, rest: "", truncated: false });
    }
  });

  it.each<[TagValue]>([[""], [" a"], ["<s_a>"], ["a<sep/>b"], [[]], [{}], [{ "a>": "b" }], [[["a"], "b"]]])(
    "refuses %j",
    (value) => {
      expect(() => formatTags(value)).toThrow(/parsers\/tags/);
    },
  );
});
