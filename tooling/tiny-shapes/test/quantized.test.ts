import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { folder } from "@paligemma/tiny-shapes";
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

it("int4: calibration with other scenes brings scores nearer", async () => {
  const moments = await calibrateOn((await readScenes()).slice(-8));
  const divergences: number[] = [];
  for (const how of [{}, { moments }]) {
    const { path } = await writePrecision(join(root, `int4-${divergences.length}`), { dtype: "int4", ...how });
    divergences.push((await compareScores(path, scenes.slice(0, 10))).divergence);
  }
  expect(divergences[1]!).toBeLessThan(divergences[0]! * TOLERANCES["quantization/calibrated divergence"]);
}, 300_000);
