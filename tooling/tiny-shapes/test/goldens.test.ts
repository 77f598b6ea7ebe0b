import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { folder } from "@paligemma/tiny-shapes";
import { openSafetensors } from "@paligemma/weights";
import { fileSource } from "@paligemma/weights/node";
import type { PaliGemma } from "paligemma";
import { loadPaliGemma } from "paligemma/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { evaluate, readScenes, tabulate } from "../evaluation.ts";
import { TOLERANCES } from "../../tolerances.ts";

const evaluation = new URL("../evaluation/", import.meta.url);

interface Goldens {
  readonly maxNewTokens: number;
  readonly cases: readonly {
    readonly file: string;
    readonly kind: string;
    readonly prefix: string;
    readonly promptIds: readonly number[];
    readonly newIds: readonly number[];
  }[];
}

let backend: Backend;
let model: PaliGemma<Uint8Array | string | URL>;
let goldens: Goldens;
beforeAll(async () => {
  backend = await createNodeBackend();
  model = await loadPaliGemma(fileURLToPath(folder), { backend });
  goldens = JSON.parse(await readFile(new URL("goldens.json", evaluation), "utf8")) as Goldens;
});
afterAll(async () => {
  await model.dispose();
  await backend.dispose();
});

// Written by tooling/tiny-shapes/make_goldens.py with transformers' own classes in float32.
describe("tiny-shapes through our own runtime equals transformers", () => {
  it("covers every task of 40 scenes", () => {
    expect(new Set(goldens.cases.map((c) => c.file)).size).toBe(40);
    expect(new Set(goldens.cases.map((c) => c.kind)).size).toBe(8);
  });

  it("in prompt ids and logits of the first step", async () => {
    const expected = await openSafetensors(await fileSource(new URL("goldens.safetensors", evaluation)));
    const { data, shape } = await expected.read("logits");
    const vocabulary = shape[1]!;
    let worst = 0;
    for (const [i, golden] of goldens.cases.entries()) {
      const inputs = await model.processor.process({ image: new URL(golden.file, evaluation), prompt: golden.prefix });
      expect([...inputs.inputIds.data].map(Number)).toEqual(golden.promptIds);
      const { logits } = await model.forward(inputs, { logitsToKeep: 1 });
      logits.data.forEach((score, j) => {
        worst = Math.max(worst, Math.abs(score - (data[i * vocabulary + j] as number)));
      });
    }
    expect(worst).toBeLessThan(TOLERANCES["tiny-shapes/logits"]);
  });

  it("in the ids of every answer", async () => {
    const asks = goldens.cases.map(({ file, prefix }) => ({ image: new URL(file, evaluation), prompt: prefix }));
    for (let start = 0; start < asks.length; start += 40) {
      const answers = await model.generate(asks.slice(start, start + 40), { maxNewTokens: goldens.maxNewTokens });
      answers.forEach(({ tokens }, i) => {
        const { newIds, file, prefix } = goldens.cases[start + i]!;
        expect(tokens, `${file} ${prefix}`).toEqual(newIds);
      });
    }
  });
});

describe("tiny-shapes on 200 unseen scenes", () => {
  it("sees what the model card says it sees", async () => {
    const scenes = await readScenes();
    expect(scenes.length).toBe(200);
    expect(scenes.filter((scene) => scene.width !== scene.height).length).toBeGreaterThanOrEqual(40);
    const table = new Map(tabulate(await evaluate(scenes)).map((row) => [row.heading, row]));
    expect(table.get("caption")!.right).toBeGreaterThanOrEqual(0.85);
    expect(table.get("answer")!.right).toBeGreaterThanOrEqual(0.95);
    expect(table.get("detect")!.right).toBeGreaterThanOrEqual(0.95);
    expect(table.get("detect")!.boxIou).toBeGreaterThanOrEqual(0.8);
    expect(table.get("segment")!.maskIou).toBeGreaterThanOrEqual(0.75);
  }, 300_000);
});
