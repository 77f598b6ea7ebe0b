import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { folder } from "@paligemma/tiny-shapes";
import { loadPaliGemma } from "paligemma/node";
import { expect, test } from "vitest";
import { ANSWERS, pickTasks, type RecordedAnswers } from "../../../tooling/tiny-shapes/answers.ts";
import type { Scene } from "../../../tooling/tiny-shapes/score.ts";

/** How many of the 200 scenes; a few unless the environment variable SCENES says more. */
const SCENES = Number(process.env["SCENES"] ?? 8);
/** Asks per batch: a step costs a software adapter nearly the same for one row as for many. */
const BATCH = 40;
const at = (path: string): URL => new URL(`../../../tooling/tiny-shapes/${path}`, import.meta.url);
const read = async <T>(path: string): Promise<T> => JSON.parse(await readFile(at(path), "utf8")) as T;

test(`${SCENES} scenes are answered in half precision as in Node in float32`, async ({ annotate }) => {
  const tasks = pickTasks(await read<Scene[]>("evaluation/truth.json")).slice(0, SCENES);
  const { float32 } = await read<RecordedAnswers>(ANSWERS);
  await using backend = await createWebGpuBackend({ precision: "float16" });
  await using model = await loadPaliGemma(fileURLToPath(folder), { backend });
  const asks = tasks.map(({ scene, task }) => ({ image: at(`evaluation/${scene.file}`), prompt: task.prefix }));
  const given: (readonly number[])[] = [];
  for (let start = 0; start < SCENES; start += BATCH) {
    const answers = await model.generate(asks.slice(start, start + BATCH));
    given.push(...answers.map(({ tokens }) => tokens));
  }
  const other = given.flatMap((tokens, i) => (tokens.join() === float32[i]!.join() ? [] : [i]));
  await annotate(`${other.length} of ${SCENES} answers have other ids: ${other.join(", ")}`);
  expect(other.length).toBeLessThanOrEqual(SCENES / 20);
});
