import {
  parseObjectPrompt,
  seededRandom,
  shuffled,
  writeExample,
  type ExampleOptions,
  type TrainingObject,
  type TrainingRecord,
} from "@paligemma/datasets";
import { parseDetections, parseTags } from "@paligemma/parsers";
import { describe, expect, it } from "vitest";

const object = (label: string, at: number, outline?: TrainingObject["outline"]): TrainingObject => ({
  label,
  box: { yMin: at, xMin: at, yMax: at + 0.25, xMax: at + 0.25 },
  outline,
});
const record = (content: TrainingRecord["content"], line = 1): TrainingRecord => ({
  origin: { file: "x.json", line },
  image: "a.png",
  size: { width: 100, height: 80 },
  content,
});
const objects = (...all: TrainingObject[]): TrainingRecord => record({ kind: "objects", objects: all });
const texts = (prompt: string, answer: string | object): TrainingRecord =>
  record({ kind: "text", prompt, answer: answer as string });

describe("objects", () => {
  const three = [object("dog", 0), object("cat", 0.25), object("dog", 0.5)];
  const options: ExampleOptions = { classes: ["cat", "dog", "bird"] };
  it("are written with all classes, or those in the picture, in the dataset's order", () => {
    const answer =
      "<loc0000><loc0000><loc0256><loc0256> dog ; <loc0256><loc0256><loc0512><loc0512> cat ; <loc0512><loc0512><loc0767><loc0767> dog";
    expect(writeExample(objects(...three), options)).toEqual({ prompt: "detect cat ; dog ; bird", answer });
    expect(writeExample(objects(...three), { ...options, classList: "present" })).toEqual({
      prompt: "detect cat ; dog",
      answer,
    });
    expect(writeExample(objects(...three))).toEqual({ prompt: "detect dog ; cat", answer });
  });
  it("that are none give an empty answer, with all classes", () => {
    expect(writeExample(objects(), options)).toEqual({ prompt: "detect cat ; dog ; bird", answer: "" });
    expect(writeExample(objects(), { ...options, classList: "present" })).toEqual({
      prompt: "detect cat ; dog ; bird",
      answer: "",
    });
    expect(writeExample(objects())).toMatchObject({ problems: [{ code: "label/empty" }] });
  });
  it("in random order: the seed and the record decide, and nothing is lost", () => {
    const many = Array.from({ length: 12 }, (_, i) => object(`thing ${i}`, i / 16));
    const random: ExampleOptions = { objectOrder: "random", classOrder: "random", seed: 5 };
    const answerOf = (item: TrainingRecord, how: ExampleOptions): string =>
      (writeExample(item, how) as { answer: string }).answer;
    const first = answerOf(objects(...many), random);
    expect(answerOf(objects(...many), random)).toBe(first);
    expect(answerOf(objects(...many), { ...random, seed: 6 })).not.toBe(first);
    expect(answerOf(record({ kind: "objects", objects: many }, 2), random)).not.toBe(first);
    const labels = (text: string): string[] => parseDetections(text).items.map(({ label }) => label);
    expect(labels(first).toSorted()).toEqual(many.map(({ label }) => label).toSorted());
    expect(labels(first)).not.toEqual(many.map(({ label }) => label));
    const asked = parseObjectPrompt((writeExample(objects(...many), random) as { prompt: string }).prompt)!.classes;
    expect(asked.toSorted()).toEqual(many.map(({ label }) => label).toSorted());
    expect(asked).not.toEqual(many.map(({ label }) => label));
  });
  it("with masks go through the encoder, with the picture's size", () => {
    const square = { polygons: [[0.1, 0.1, 0.3, 0.1, 0.3, 0.3, 0.1, 0.3]] };
    const seen: number[][] = [];
    const encodeMasks: ExampleOptions["encodeMasks"] = (all) => {
      for (const { mask } of all)
        seen.push([mask.width, mask.height, mask.data.reduce((sum, value) => sum + value, 0)]);
      return all.map(({ label, box }) => ({ label, box, codes: Array.from({ length: 16 }, (_, i) => i) }));
    };
    const segment: ExampleOptions = { task: "segment", classes: ["cat"], encodeMasks };
    const codes = Array.from({ length: 16 }, (_, i) => `<seg${String(i).padStart(3, "0")}>`).join("");
    expect(writeExample(objects(object("cat", 0.1, square)), segment)).toEqual({
      prompt: "segment cat",
      answer: `<loc0102><loc0102><loc0358><loc0358>${codes} cat`,
    });
    expect(seen).toEqual([[100, 80, 20 * 16]]);
    expect(writeExample(objects(), segment)).toEqual({ prompt: "segment cat", answer: "" });
    expect(writeExample(objects(object("cat", 0.1)), segment)).toMatchObject({ problems: [{ code: "mask/missing" }] });
    const thin = { polygons: [[0.1, 0.1, 0.1, 0.1, 0.1, 0.1]] };
    expect(writeExample(objects(object("cat", 0.1, thin)), segment)).toMatchObject({
      problems: [{ code: "mask/empty" }],
    });
    const wrong = { rle: { size: [10, 10] as const, counts: [0, 100] } };
    expect(writeExample(objects(object("cat", 0.1, wrong)), segment)).toMatchObject({
      problems: [{ code: "mask/broken" }],
    });
    const broken = { rle: { size: [80, 100] as const, counts: [5] } };
    expect(writeExample(objects(object("cat", 0.1, broken)), segment)).toMatchObject({
      problems: [{ code: "mask/broken" }],
    });
  });
});

describe("texts", () => {
  it("stay as they are", () => {
    expect(writeExample(texts("caption en", "a cat ; a dog"))).toEqual({
      prompt: "caption en",
      answer: "a cat ; a dog",
    });
    const given = "<loc0000><loc0000><loc0256><loc0256>dog;<loc0256><loc0256><loc0512><loc0512> cat";
    expect(writeExample(texts("detect cat ; dog", given))).toEqual({ prompt: "detect cat ; dog", answer: given });
  });
  it("of objects can be put into random order", () => {
    const answer = Array.from({ length: 9 }, (_, i) => `<loc000${i}><loc0000><loc0256><loc0256> dog`).join(" ; ");
    const written = writeExample(texts("detect cat ; dog ; bird", answer), {
      objectOrder: "random",
      classOrder: "random",
      seed: 3,
    }) as { prompt: string; answer: string };
    expect(written.answer).not.toBe(answer);
    expect(written.answer.split(" ; ").toSorted()).toEqual(answer.split(" ; ").toSorted());
    expect(parseObjectPrompt(written.prompt)!.classes.toSorted()).toEqual(["bird", "cat", "dog"]);
  });
  it("that are JSON are written as tags, which come back, or as JSON", () => {
    const receipt = {
      menu: [
        { name: "tea", price: 3 },
        { name: "cake", price: 4.5 },
      ],
      total: "7.50",
      paid: true,
    };
    const tags = writeExample(texts("extract JSON.", receipt), { json: "tags" }) as { answer: string };
    expect(tags.answer).toBe(
      "<s_total>7.50</s_total><s_paid>true</s_paid><s_menu><s_price>3</s_price><s_name>tea</s_name><sep/><s_price>4.5</s_price><s_name>cake</s_name></s_menu>",
    );
    expect(parseTags(tags.answer).value).toEqual({
      menu: [
        { name: "tea", price: "3" },
        { name: "cake", price: "4.5" },
      ],
      total: "7.50",
      paid: "true",
    });
    expect(writeExample(texts("extract JSON.", receipt), { json: "json" })).toMatchObject({
      answer: JSON.stringify(receipt),
    });
    expect(writeExample(texts("extract JSON.", receipt))).toMatchObject({ problems: [{ code: "answer/json" }] });
    expect(writeExample(texts("extract JSON.", { a: [] }), { json: "tags" })).toMatchObject({
      problems: [{ code: "answer/json" }],
    });
  });
  it("are bounded by tokens, <eos> included", () => {
    const countTokens = (text: string): number => text.length;
    expect(writeExample(texts("caption en", "1234"), { maxAnswerTokens: 5, countTokens })).toMatchObject({
      answer: "1234",
    });
    expect(writeExample(texts("caption en", "12345"), { maxAnswerTokens: 5, countTokens })).toMatchObject({
      problems: [{ code: "answer/too-long" }],
    });
  });
});

it("a seed's numbers are spread, and a shuffle reaches every order", () => {
  const random = seededRandom(1, "a");
  const numbers = Array.from({ length: 4000 }, random);
  expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...numbers)).toBeLessThan(1);
  expect(Math.abs(numbers.reduce((sum, value) => sum + value, 0) / numbers.length - 0.5)).toBeLessThan(0.03);
  const orders = new Set(Array.from({ length: 300 }, () => shuffled([1, 2, 3, 4], random).join("")));
  expect(orders.size).toBe(24);
});
