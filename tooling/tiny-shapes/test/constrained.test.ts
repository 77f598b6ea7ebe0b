import { describe, expect, it } from "vitest";
import { evaluate, tabulate } from "../evaluation.ts";
import { openEmbedded, picture } from "./embedded.ts";

const { model, scenes } = await openEmbedded();

const SHAPES = ["circle", "square", "triangle", "star"];
/** Of words that the model knows, of words that it was never asked for, and with spaces around. */
const ASKED = [
  ["star"],
  ["circle", "triangle"],
  ["red square"],
  ["dog"],
  [" blue star ", "cat"],
  ["seventeen green boats"],
];

describe("detect and segment", { timeout: 180_000 }, () => {
  it("name the classes asked for and no other, in whole boxes, none twice", async () => {
    for (const [i, scene] of scenes.slice(0, 24).entries()) {
      const labels = ASKED[i % ASKED.length]!;
      const { items, rest, truncated } = await model.detect(picture(scene), labels);
      const asked = labels.map((label) => label.trim());
      expect(items.filter(({ label }) => !asked.includes(label))).toEqual([]);
      expect({ rest, truncated }).toEqual({ rest: "", truncated: false });
      expect(new Set(items.map(({ box }) => JSON.stringify(box))).size).toBe(items.length);
    }
    for (const scene of scenes.slice(0, 4)) {
      const { items, rest } = await model.segment(picture(scene), ["dog", "star"]);
      expect(items.filter(({ label }) => label !== "dog" && label !== "star")).toEqual([]);
      expect(rest).toBe("");
    }
  });

  it("answer as the model likes when not constrained, which names classes that were not asked for", async () => {
    const named = new Set<string>();
    for (const scene of scenes.slice(0, 24)) {
      const { items } = await model.detect(picture(scene), ["stars"], { constrained: false });
      for (const { label } of items) named.add(label);
    }
    expect([...named].some((label) => label !== "stars")).toBe(true);
    const wrong = { constrained: "no" as unknown as boolean };
    await expect(model.detect(picture(scenes[0]!), ["dog"], wrong)).rejects.toThrow(
      /paligemma\/option.*constrained is no/,
    );
  });

  it("take a constraint of the caller, and give theirs to streams", async () => {
    const scene = scenes[0]!;
    const only = model.constraintTo("detect", ["dog"]);
    const { items } = await model.detect(picture(scene), SHAPES, { constraint: only });
    expect(items.filter(({ label }) => label !== "dog")).toEqual([]);
    let text = "";
    const prompt = `detect ${SHAPES.join(" ; ")}`;
    const constraint = model.constraintTo("detect", SHAPES);
    for await (const piece of model.stream({ image: picture(scene), prompt }, { constraint })) text += piece.text;
    expect(text).toBe((await model.detect(picture(scene), SHAPES)).text);
    expect(() => model.constraintTo("detect", ["cat ; dog"])).toThrow(/separate labels/);
  });

  it("are right as often as without the constraint", async () => {
    const some = scenes.slice(0, 24);
    const free = tabulate(await evaluate(some));
    const constrained = tabulate(await evaluate(some, { constrained: true }));
    for (const [i, row] of constrained.entries()) expect(row.right).toBeGreaterThanOrEqual(free[i]!.right);
  });
});

describe("how sure the model is", { timeout: 180_000 }, () => {
  it("score ranks given answers as the model's own probabilities do, and the right one first", async () => {
    let right = 0;
    const asked = scenes.slice(0, 12);
    for (const scene of asked) {
      const task = scene.tasks.find(({ prefix }) => prefix.startsWith("answer en how many"))!;
      const ask = { image: picture(scene), prompt: task.prefix };
      const answers = ["zero", "one", "two", "three", "no idea"];
      const ranked = await model.score(ask, answers);
      expect(new Set(ranked.map(({ index }) => index))).toEqual(new Set([0, 1, 2, 3, 4]));
      expect(ranked.every(({ text, index }) => text === answers[index])).toBe(true);
      expect(ranked.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 5);
      const { text, score } = await model.generate(ask, { outputScores: true });
      expect(ranked[0]!.score).toBeCloseTo(score!, 3);
      if (ranked[0]!.text === text && text === task.suffix) right++;
    }
    expect(right).toBeGreaterThanOrEqual(asked.length - 1);
    await expect(model.score({ image: picture(asked[0]!), prompt: "answer en x" }, [])).rejects.toThrow(/at least one/);
  });

  it("detect gives each object its confidence when asked, and the same objects", async () => {
    const sure: number[] = [];
    for (const scene of scenes.slice(0, 12)) {
      const plain = await model.detect(picture(scene), SHAPES);
      const { items } = await model.detect(picture(scene), SHAPES, { confidences: true });
      expect(items).toMatchObject(plain.items);
      expect(items).toHaveLength(plain.items.length);
      for (const { confidence } of items) {
        const { label, object, coordinates, entropies } = confidence!;
        for (const probability of [label, object, ...coordinates]) {
          expect(probability).toBeGreaterThan(0);
          expect(probability).toBeLessThanOrEqual(1 + 1e-6);
        }
        for (const entropy of entropies) expect(entropy).toBeLessThanOrEqual(Math.log(1024) + 1e-6);
        sure.push(label);
      }
    }
    expect(sure.reduce((a, b) => a + b, 0) / sure.length).toBeGreaterThan(0.8);
  });
});
