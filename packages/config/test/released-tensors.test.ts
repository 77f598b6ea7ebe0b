import { parameterCount, presetOfTensors, presets, releasedTensors, type PresetName } from "@paligemma/config";
import { describe, expect, it } from "vitest";

/** Counted from the released checkpoints, output layer tied. */
const PARAMETERS: Readonly<Record<PresetName, number>> = {
  "paligemma-3b-224": 2_923_466_480,
  "paligemma-3b-448": 2_924_351_216,
  "paligemma-3b-896": 2_927_890_160,
  "paligemma2-3b-224": 3_032_242_416,
  "paligemma2-3b-448": 3_033_127_152,
  "paligemma2-3b-896": 3_036_666_096,
  "paligemma2-10b-224": 9_662_638_832,
  "paligemma2-10b-448": 9_663_523_568,
  "paligemma2-10b-896": 9_667_062_512,
  "paligemma2-28b-224": 27_650_487_024,
  "paligemma2-28b-448": 27_651_371_760,
  "paligemma2-28b-896": 27_654_910_704,
};

describe("parameters", () => {
  it.each(Object.entries(PARAMETERS))("%s has %i", (name, count) => {
    expect(parameterCount(presets[name as PresetName])).toBe(count);
  });

  it("are of all presets", () => expect(Object.keys(PARAMETERS)).toEqual(Object.keys(presets)));
});

describe("names", () => {
  it("has Gemma 2's four norms and Gemma 1's two", () => {
    const layer = (name: PresetName): readonly string[] =>
      [...releasedTensors(presets[name]).keys()].filter(
        (key) => /layers\.3\..*norm/.test(key) && key.startsWith("language_model"),
      );
    expect(layer("paligemma-3b-224").map((key) => key.split(".").at(-2))).toEqual([
      "input_layernorm",
      "post_attention_layernorm",
    ]);
    expect(layer("paligemma2-3b-224").map((key) => key.split(".").at(-2))).toEqual([
      "input_layernorm",
      "post_attention_layernorm",
      "pre_feedforward_layernorm",
      "post_feedforward_layernorm",
    ]);
  });

  it("counts every tensor of the released files", () => {
    // 3 embeddings, 27 × 16, 2 of the last norm; 2 of the projector; the table, 18 × 9 or 26 × 11, the last norm.
    expect(releasedTensors(presets["paligemma-3b-224"]).size).toBe(3 + 27 * 16 + 2 + 2 + 1 + 18 * 9 + 1);
    expect(releasedTensors(presets["paligemma2-3b-224"]).size).toBe(3 + 27 * 16 + 2 + 2 + 1 + 26 * 11 + 1);
  });

  it("has an output layer of its own only where it is untied", () => {
    const config = presets["paligemma-3b-224"];
    expect(releasedTensors(config).has("language_model.lm_head.weight")).toBe(false);
    const untied = { ...config, text: { ...config.text, tieWordEmbeddings: false } };
    expect(releasedTensors(untied).get("language_model.lm_head.weight")).toEqual([257_216, 2048]);
  });
});

describe("presetOfTensors", () => {
  it.each(Object.keys(presets) as PresetName[])("knows %s", (name) => {
    expect(presetOfTensors(releasedTensors(presets[name]))).toBe(name);
  });

  it("knows no other", () => {
    const shapes = new Map(releasedTensors(presets["paligemma-3b-224"]));
    shapes.set("language_model.model.norm.weight", [2049]);
    expect(presetOfTensors(shapes)).toBeUndefined();
    expect(presetOfTensors(new Map())).toBeUndefined();
  });
});
