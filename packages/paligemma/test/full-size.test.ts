import { presets, releasedTensors, type PresetName } from "@paligemma/config";
import { gemmaGraph } from "@paligemma/gemma";
import { CPU, encodeOnnx, type Initializer } from "@paligemma/graph";
import { visionGraph } from "paligemma";
import { describe, expect, it } from "vitest";

// huggingface-paligemma reference §2.4: computed from the released shapes, the head tied to the token table.
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

/** Tensors that a graph takes from a checkpoint: all that are no data of its own. */
function wanted(initializers: readonly Initializer[]): [string, readonly number[]][] {
  return initializers.filter((i) => !i.data).map((i) => [i.name, i.shape]);
}

describe.each(Object.keys(PARAMETERS) as PresetName[])("the graphs of %s", (name) => {
  const config = presets[name];
  const tensors = new Map([
    ...wanted(visionGraph(config, CPU).initializers),
    ...wanted(gemmaGraph(config.text, CPU, undefined, { images: true }).initializers),
  ]);

  it("take exactly the tensors that a released file has", () => {
    expect(Object.fromEntries(tensors)).toEqual(Object.fromEntries(releasedTensors(config)));
  });

  it("have the parameter count of the release", () => {
    const count = [...tensors.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(count).toBe(PARAMETERS[name]);
  });

  it("cannot be encoded while their weights are only declared", () => {
    expect(() => encodeOnnx(visionGraph(config, CPU), () => ({ location: "", offset: 0, length: 0 }))).toThrow(
      /graph\/unbound/,
    );
  });
});
