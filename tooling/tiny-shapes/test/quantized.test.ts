import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createNodeBackend } from "@paligemma/backend-node";
import { folder } from "@paligemma/tiny-shapes";
import { loadPaliGemma } from "paligemma/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../tolerances.ts";
import { evaluate, readScenes } from "../evaluation.ts";
import { calibrateOn, compareScores, writePrecision } from "../precisions.ts";
import type { Scene } from "../score.ts";

let root = "";
let scenes: readonly Scene[];
let exact: number;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "quantized-"));
  scenes = (await readScenes()).slice(0, 100);
  exact = await points(fileURLToPath(folder));
}, 300_000);
afterAll(() => rm(root, { recursive: true }));

/** Right answers out of a hundred, over all tasks of 100 scenes. */
async function points(path: string): Promise<number> {
  const results = await evaluate(scenes, { modelFolder: path });
  return (100 * results.filter(({ right }) => right).length) / results.length;
}

describe.each(["int8", "mixed", "int4"] as const)("tiny-shapes in %s", (dtype) => {
  let path = "";
  beforeAll(async () => {
    ({ path } = await writePrecision(join(root, dtype), { dtype }));
  });

  it("answers almost as well", async () => {
    expect(exact - (await points(path))).toBeLessThanOrEqual(TOLERANCES[`quantization/${dtype} points`]);
  }, 300_000);

  it("scores tokens almost alike", async () => {
    const { divergence, agreement, positions } = await compareScores(path, scenes.slice(0, 10));
    expect(positions).toBeGreaterThan(500);
    expect(divergence).toBeLessThan(TOLERANCES[`quantization/${dtype} divergence`]);
    expect(1 - agreement).toBeLessThan(TOLERANCES[`quantization/${dtype} disagreement`]);
  }, 300_000);
});

it("int8: a few answers at once, and beams, are those that each has alone", async () => {
  const { path } = await writePrecision(join(root, "together"), { dtype: "int8" });
  await using backend = await createNodeBackend();
  await using model = await loadPaliGemma(path, { backend });
  // Up to four rows have products of their own.
  for (const count of [2, 3, 4, 5]) {
    const asks = scenes.slice(0, count).map(({ file }) => ({
      image: new URL(`../evaluation/${file}`, import.meta.url),
      prompt: "caption en",
    }));
    const together = await model.generate(asks, { outputScores: true });
    for (const [i, ask] of asks.entries()) {
      const alone = await model.generate(ask, { outputScores: true });
      expect(together[i]!.tokens).toEqual(alone.tokens);
      expect(Math.abs(together[i]!.score! - alone.score!)).toBeLessThan(TOLERANCES["quantization/batched scores"]);
    }
  }
  const image = new URL(`../evaluation/${scenes[0]!.file}`, import.meta.url);
  const beams = await model.generate({ image, prompt: "caption en" }, { numBeams: 3 });
  expect(beams.stoppedBy).toBe("eos");
}, 300_000);

it("int4: calibration with other scenes brings scores nearer", async () => {
  const moments = await calibrateOn((await readScenes()).slice(-8));
  const divergences: number[] = [];
  for (const how of [{}, { moments }]) {
    const { path } = await writePrecision(join(root, `int4-${divergences.length}`), { dtype: "int4", ...how });
    divergences.push((await compareScores(path, scenes.slice(0, 10))).divergence);
  }
  expect(divergences[1]!).toBeLessThan(divergences[0]! * TOLERANCES["quantization/calibrated divergence"]);
}, 300_000);
