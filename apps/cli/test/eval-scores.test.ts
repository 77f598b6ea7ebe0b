import type { MaskCodec } from "@paligemma/masks";
import { formatDetections } from "@paligemma/parsers";
import { describe, expect, it } from "vitest";
import type { AnsweredLine, Line, Metric } from "../src/eval/answers.ts";
import { judge } from "../src/eval/judge.ts";
import { questionOf } from "../src/eval/question.ts";
import { reportOf, reportTable } from "../src/eval/report.ts";

const size = { width: 100, height: 100 };
const cat = { label: "cat", box: { yMin: 0, xMin: 0, yMax: 0.5, xMax: 0.5 } };
const dog = { label: "dog", box: { yMin: 0.5, xMin: 0.5, yMax: 1, xMax: 1 } };
const score = (metric: Metric, answer: string, ...expected: string[]): number | undefined =>
  judge(answer, { metric, expected, size }).score;

describe("an answer alone", () => {
  it.each<[Metric, string, string[], number]>([
    ["exact", "Yes", ["no", "yes"], 1],
    ["exact", "maybe", ["no", "yes"], 0],
    ["anls", "helo", ["hello"], 0.8],
    ["relaxed", "104", ["100"], 1],
    ["relaxed", "106", ["100"], 0],
    ["edit", "abcd", ["abce", "xxxx"], 0.75],
    ["edit", "", [""], 1],
    ["vqa", "two", Array.from({ length: 10 }, (_, i) => (i < 3 ? "2" : "3")), 0.9],
    ["fields", '{"total":"5"}', ['{"total":"5","date":"today"}'], 2 / 3],
    ["fields", "<s_total>5</s_total>", ["<s_total>5</s_total>"], 1],
  ])("by %s: %j against %j", (metric, answer, expected, value) => {
    expect(score(metric, answer, ...expected)).toBeCloseTo(value, 12);
  });

  it("by boxes: pairs of equal labels, and a 0 for each that is missing or too many", () => {
    const both = formatDetections([cat, dog]);
    expect(score("boxes", both, both)).toBe(1);
    expect(score("boxes", formatDetections([dog]), both)).toBe(0.5);
    expect(score("boxes", formatDetections([{ ...dog, label: "cat" }]), formatDetections([dog]))).toBe(0);
    expect(score("boxes", "", "")).toBe(1);
    expect(score("boxes", "what?", both)).toBe(0);
    const told = judge(both, { metric: "boxes", expected: [both], objects: [cat], size });
    expect(told).toMatchObject({ things: [cat], size });
    expect(told.score).toBeCloseTo(0.5, 2); // the text rounds corners to 1/1023
  });

  it("by masks: what each label covers", () => {
    // Codes of 0 are all inside, of 1 all outside.
    const codec = {
      decode: (codes: readonly (readonly number[])[]) =>
        codes.map(([first]) => new Float32Array(4096).fill(first === 0 ? 1 : -1)),
    } as unknown as MaskCodec;
    const coded = (thing: typeof cat, code: number): string =>
      formatDetections([{ ...thing, codes: Array.from({ length: 16 }, () => code) }]);
    const truth = { metric: "masks", expected: [coded(cat, 0)], size, codec } as const;
    expect(judge(coded(cat, 0), truth)).toMatchObject({ score: 1, ious: { cat: 1 } });
    expect(judge(coded(cat, 1), truth)).toMatchObject({ score: 0, ious: { cat: 0 } });
    expect(judge(`${coded(cat, 0)} ; ${coded(dog, 0)}`, truth)).toMatchObject({ score: 0.5, ious: { cat: 1, dog: 0 } });
    expect(judge("", truth)).toMatchObject({ score: 0, ious: { cat: 0 } });
    expect(judge("", { ...truth, expected: [""] })).toMatchObject({ score: 1, ious: {} });
    const mask = { rle: { size: [100, 100] as const, counts: [0, 10_000] } };
    const whole = { label: "cat", box: { yMin: 0, xMin: 0, yMax: 1, xMax: 1 }, outline: mask };
    expect(judge(coded(whole, 0), { ...truth, objects: [whole] })).toMatchObject({ score: 1 });
  });
});

describe("the metric of a record", () => {
  const record = (prompt: string, answer: string | readonly string[]): Parameters<typeof questionOf>[0] => ({
    origin: { file: "a.jsonl", line: 1 },
    image: "a.png",
    content: { kind: "text", prompt, answer },
  });
  it.each<[string, string | readonly string[], string, Metric]>([
    ["caption en", "a cat", "caption", "cider"],
    ["describe en", "a cat", "caption", "cider"],
    ["ocr", "text", "ocr", "edit"],
    ["answer en what is it?", "a cat", "answer", "exact"],
    ["what is it?", "a cat", "question", "exact"],
    ["what is it?", Array.from({ length: 10 }, () => "cat"), "question", "vqa"],
    ["read", "<s_total>5</s_total>", "question", "fields"],
    ["detect cat", formatDetections([cat]), "detect", "boxes"],
    ["detect cat", "", "detect", "boxes"],
  ])("%j %j", (prompt, answer, task, metric) => {
    expect(questionOf(record(prompt, answer), size, { examples: {} })).toMatchObject({ task, metric, prompt });
  });

  it("asks for each class by itself where told to", () => {
    const asked = questionOf(record("detect cat ; dog", ""), size, { examples: {}, eachClass: true });
    expect(asked).toMatchObject({ prompt: "detect cat ; dog", asks: ["detect cat", "detect dog"] });
    expect(questionOf(record("caption en", "a"), size, { examples: {}, eachClass: true })).toMatchObject({
      asks: ["caption en"],
    });
  });
});

describe("the report", () => {
  const line = (record: number, more: { readonly [Key in keyof AnsweredLine]?: AnsweredLine[Key] | undefined }): Line =>
    ({
      record,
      origin: { file: "a.jsonl", line: record + 1 },
      image: `${record}.png`,
      task: "answer",
      metric: "exact",
      prompt: "answer en is it?",
      expected: ["yes"],
      answer: "yes",
      score: 1,
      ...more,
    }) as Line;

  it("counts captions of one picture as one image, and leaves right answers out of the worst", () => {
    const caption = { task: "caption", metric: "cider", prompt: "caption en", score: undefined } as const;
    const lines = [
      line(0, { ...caption, image: "a.png", expected: ["a cat sits"], answer: "a cat sits here" }),
      line(1, { ...caption, image: "a.png", expected: ["a cat sits here"], answer: "a cat sits here" }),
      line(2, { ...caption, image: "b.png", expected: ["two dogs run"], answer: "a horse" }),
    ];
    const report = reportOf(lines, 5);
    expect(report.tasks).toMatchObject([{ task: "caption", metric: "cider", records: 3 }]);
    expect(report.worst.map(({ record }) => record)).toEqual([2, 0]);
  });

  it("has a line for each task, the bad records and why", () => {
    const bad = { record: 2, origin: { file: "a.jsonl", line: 3 }, bad: [{ code: "image/not-found", message: "…" }] };
    const lines = [line(0, {}), line(1, { answer: "no", score: 0 }), bad];
    const report = reportOf(lines, 1);
    expect(report).toMatchObject({ records: 3, answered: 2, bad: 1, problems: { "image/not-found": 1 } });
    expect(report.worst).toMatchObject([{ record: 1, answer: "no", score: 0 }]);
    expect(reportTable(report)).toEqual([
      "task    records  metric         value  also",
      "answer        2  equal answers  0.500",
      "2 of 3 records answered; 1 bad: image/not-found × 1",
    ]);
    expect(reportTable(reportOf([], 1)).at(-1)).toBe("0 of 0 records answered");
  });
});
