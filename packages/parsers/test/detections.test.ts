import {
  PALIGEMMA_IDS,
  markupIds,
  parseDetectionIds,
  parseDetections,
  parseSegmentIds,
  parseSegments,
} from "@paligemma/parsers";
import { describe, expect, it } from "vitest";

const BOX = "<loc0000><loc0341><loc0682><loc1023>";
const MASK = Array.from({ length: 16 }, (_, i) => `<seg${String(i * 8).padStart(3, "0")}>`).join("");
const CODES = Array.from({ length: 16 }, (_, i) => i * 8);

/** What a reader cares about, in one line per object. */
function brief(text: string): string {
  const { items, rest, truncated } = parseDetections(text);
  return [
    ...items.map((d) => d.label + (d.codes ? "+mask" : "")),
    ...(rest ? [`(${rest})`] : []),
    ...(truncated ? ["…"] : []),
  ].join("|");
}

describe("parseDetections", () => {
  it("reads corners y first, with 1023 at the far edge", () => {
    const { items, rest, truncated } = parseDetections(`${BOX} cat`, { width: 640, height: 480 });
    expect(items).toEqual([
      {
        label: "cat",
        box: { yMin: 0, xMin: 341 / 1023, yMax: 682 / 1023, xMax: 1 },
        pixels: { yMin: 0, xMin: (341 / 1023) * 640, yMax: (682 / 1023) * 480, xMax: 640 },
        span: { start: 0, end: 40 },
      },
    ]);
    expect([rest, truncated]).toEqual(["", false]);
  });

  it("divides by 1024 when asked", () => {
    expect(parseDetections(`${BOX} cat`, undefined, { binDivisor: 1024 }).items.at(0)?.box.xMax).toBe(1023 / 1024);
  });

  it("reads mask codes", () => {
    expect(parseDetections(`${BOX}${MASK} cat`).items.at(0)?.codes).toEqual(CODES);
  });

  const answers: readonly (readonly [string, string, string])[] = [
    ["several objects", `${BOX} cat ; ${BOX} dog`, "cat|dog"],
    ["no label (RefCOCO)", `${BOX}${MASK}`, "+mask"],
    ["no labels at all", `${BOX} ; ${BOX}`, "|"],
    ["boxes without separator", `${BOX}${BOX}${BOX} cat`, "||cat"],
    ["masks without separator", `${BOX}${MASK}${BOX}${MASK}`, "+mask|+mask"],
    ["no space before the label", `${BOX}cat;${BOX}dog`, "cat|dog"],
    ["spaces between the tokens", `${BOX.replaceAll("><", "> <")} cat`, "cat"],
    ["label first", `cat ${BOX} ; dog ${BOX}`, "cat|dog"],
    ["label first, masks", `cat ${BOX}${MASK} ; dog ${BOX}${MASK}`, "cat+mask|dog+mask"],
    ["labels first without separator", `cat ${BOX} dog ${BOX}`, "cat|dog"],
    ["labels after without separator", `${BOX} cat ${BOX} dog`, "cat|dog"],
    ["trailing separator", `${BOX} cat ; ${BOX} dog ;`, "cat|dog"],
    ["doubled and leading separators", ` ; ${BOX} cat ;; ; ${BOX} dog`, "cat|dog"],
    ["newline as separator", `${BOX} cat\n${BOX} dog\r\n${BOX} cow`, "cat|dog|cow"],
    [
      "unicode and punctuation",
      `${BOX} Söder-Straße 5/2 "A&B" (naïve) ; ${BOX} 猫、犬 ; ${BOX} 👩‍🚀`,
      'Söder-Straße 5/2 "A&B" (naïve)|猫、犬|👩‍🚀',
    ],
    ["angle brackets in a label", `${BOX} <noise> ; ${BOX} a < b`, "<noise>|a < b"],
    ["numbers that are no location", `${BOX} <loc1024> <loc12> <seg128>`, "<loc1024> <loc12> <seg128>"],
    ["text before and after the box", `There is ${BOX} a cat`, "a cat|(There is)"],
    [
      "a sentence beside objects",
      `I see two things.\n${BOX} cat ; ${BOX} dog\nThat is all.`,
      "cat|dog|(I see two things.\nThat is all.)",
    ],
    ["only a sentence", "No cats here.", "(No cats here.)"],
    ["nothing", "", ""],
    ["special tokens left in", `<bos>${BOX} cat<eos><pad>`, "cat"],
    ["cut inside a box", `${BOX} cat ; <loc0001><loc0002>`, "cat|(<loc0001><loc0002>)|…"],
    ["cut inside a mask", `${BOX}${MASK} cat ; ${BOX}<seg001><seg002>`, `cat+mask|(${BOX}<seg001><seg002>)|…`],
    ["cut inside the second box of a run", `${BOX}<loc0001>`, "|(<loc0001>)|…"],
    ["cut before the label", `${BOX} cat ; ${BOX}`, "cat||…"],
    ["cut inside a token", `${BOX} cat ; ${BOX.slice(0, 14)}`, `cat|(${BOX.slice(0, 14)})`],
    ["a short box in the middle", `<loc0001><loc0002> cat ; ${BOX} dog`, "dog|(<loc0001><loc0002> cat)"],
    ["a box of five", `${BOX}<loc0005> cat`, "cat|(<loc0005>)"],
    ["a short mask in the middle", `${BOX}<seg001><seg002> cat ; ${BOX} dog`, "cat|dog|(<seg001><seg002>)"],
    ["a mask of seventeen", `${BOX}${MASK}<seg001> cat`, "cat+mask|(<seg001>)"],
    ["a mask without a box", `${MASK} cat ; ${BOX} dog`, `dog|(${MASK} cat)`],
  ];
  it.each(answers)("reads %s", (_, text, expected) => {
    expect(brief(text)).toBe(expected);
  });

  it("keeps boxes that are inside out", () => {
    expect(parseDetections("<loc0500><loc0500><loc0100><loc0100> cat").items).toHaveLength(1);
  });

  it("keeps a loop of the same box, in time linear in its length", () => {
    expect(parseDetections(`${BOX} cat ; `.repeat(20_000)).items).toHaveLength(20_000);
  });

  it("follows a forced label side", () => {
    const text = `cat ${BOX} dog ${BOX}`;
    expect(parseDetections(text, undefined, { labelSide: "after" })).toMatchObject({
      items: [{ label: "dog" }, { label: "" }],
      rest: "cat",
    });
    expect(parseDetections(`${text} cow`, undefined, { labelSide: "before" })).toMatchObject({
      items: [{ label: "cat" }, { label: "dog" }],
      rest: "cow",
    });
  });

  it("refuses unknown options and impossible images", () => {
    expect(() => parseDetections("", undefined, { divisor: 1024 } as never)).toThrow(
      /parsers\/option: .*"divisor".*binDivisor/,
    );
    expect(() => parseDetections(BOX, { width: 0, height: 4 })).toThrow(/parsers\/image/);
  });
});

describe("parseDetectionIds", () => {
  const words = new Map([
    [2161, " ;"],
    [235_248, " "],
    [4401, " cat"],
    [5929, " dog"],
    [108, "\n"],
    [99, "<loc0001>"],
  ]);
  const decode = (ids: number[]): string => ids.map((id) => words.get(id) ?? "?").join("");
  const box = [256_000, 256_341, 256_682, 257_023];
  const mask = CODES.map((code) => 257_024 + code);

  it("reads the ids that a clean answer has", () => {
    const ids = [...box, ...mask, 4401, 2161, 235_248, ...box, 5929, 1, 0, 0];
    const { items, rest, truncated } = parseDetectionIds(ids, undefined, { decode });
    expect(items.map(({ label, codes, span }) => ({ label, codes: codes?.length, span }))).toEqual([
      { label: "cat", codes: 16, span: { start: 0, end: 23 } },
      { label: "dog", codes: undefined, span: { start: 23, end: 31 } },
    ]);
    expect([rest, truncated]).toEqual(["", false]);
  });

  it("reads boxes and codes without a decoder", () => {
    const { items, rest } = parseDetectionIds([...box, ...mask, 4401, 2161, ...box, 5929]);
    expect(items.map(({ label, codes }) => [label, codes?.length])).toEqual([
      ["", 16],
      ["", undefined],
    ]);
    expect(rest).toBe("");
  });

  it("is not fooled by a location in letters", () => {
    expect(parseDetectionIds([...box, 99], undefined, { decode }).items.at(0)?.label).toBe("<loc0001>");
  });

  it("tells an answer cut by the budget from one that ended", () => {
    expect(parseDetectionIds([...box, 4401, 2161, 256_000], undefined, { decode })).toMatchObject({
      truncated: true,
      rest: "<loc0000>",
    });
    expect(parseDetectionIds([...box, 4401, 2161, 256_000, 1], undefined, { decode }).truncated).toBe(false);
  });

  it("finds the markup of another vocabulary", () => {
    const vocabulary = new Map([
      ["<pad>", 0],
      ["<eos>", 1],
    ]);
    for (let n = 0; n < 1024; n++) vocabulary.set(`<loc${String(n).padStart(4, "0")}>`, 500 + n);
    for (let n = 0; n < 128; n++) vocabulary.set(`<seg${String(n).padStart(3, "0")}>`, 300 + n);
    const markup = markupIds((token) => vocabulary.get(token));
    expect(markup).toEqual({ loc: 500, seg: 300, skip: [0, 1] });
    expect(parseDetectionIds([500, 501, 502, 503], undefined, { markup }).items).toHaveLength(1);
    vocabulary.delete("<loc0007>");
    expect(() => markupIds((token) => vocabulary.get(token))).toThrow(
      /parsers\/vocabulary: <loc0007> has id none, expected 507/,
    );
    expect(PALIGEMMA_IDS.loc).toBe(256_000);
  });
});

describe("parseSegments", () => {
  it("leaves boxes without a mask to the rest", () => {
    const { items, rest, truncated } = parseSegments(`${BOX}${MASK} cat ; ${BOX} dog ; ${BOX}${MASK} cow`);
    expect(items.map(({ label, codes }) => [label, codes.length])).toEqual([
      ["cat", 16],
      ["cow", 16],
    ]);
    expect([rest, truncated]).toEqual([`${BOX} dog`, false]);
  });

  it("calls a last box without its mask truncated", () => {
    expect(parseSegments(`${BOX}${MASK} cat ; ${BOX}`)).toMatchObject({
      items: [{ label: "cat" }],
      rest: BOX,
      truncated: true,
    });
  });

  it("reads ids", () => {
    const ids = [256_000, 256_001, 256_002, 256_003, ...CODES.map((code) => 257_024 + code), 1];
    expect(parseSegmentIds(ids).items.at(0)?.codes).toEqual(CODES);
    expect(parseSegmentIds(ids.slice(0, 10))).toMatchObject({ items: [], truncated: true });
  });
});
