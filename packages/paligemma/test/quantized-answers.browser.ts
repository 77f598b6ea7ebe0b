import { createWebGpuBackend, type WebGpuBackend } from "@paligemma/backend-webgpu";
import { decodeImage } from "@paligemma/processor/browser";
import { loadPaliGemma } from "paligemma";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pickTasks, type RecordedAnswers } from "../../../tooling/tiny-shapes/answers.ts";
import type { Scene } from "../../../tooling/tiny-shapes/score.ts";
import { embeddedFiles } from "./embedded-files.ts";
import { packedFiles } from "../../../tooling/tiny-shapes/packed-files.ts";

const EVALUATION = "/tooling/tiny-shapes/evaluation/";
const read = async <T>(path: string): Promise<T> => (await (await fetch(`${EVALUATION}${path}`)).json()) as T;

let backend: WebGpuBackend;
beforeAll(async () => {
  backend = await createWebGpuBackend();
});
afterAll(() => backend.dispose());

// A software adapter takes long to compile these kernels, so one question is asked of each.
const PATIENCE = { timeout: 600_000 };

test.each(["int4", "int8"] as const)(
  "with %s weights a question is answered on WebGPU as in Node",
  PATIENCE,
  async (dtype) => {
    const tasks = pickTasks(await read<Scene[]>("truth.json"));
    const recorded = (await read<RecordedAnswers>("answers.json"))[dtype];
    await using model = await loadPaliGemma(await packedFiles(await embeddedFiles(), dtype), {
      backend,
      selfCheck: false,
    });
    const { scene, task } = tasks[0]!;
    const image = await decodeImage(await (await fetch(`${EVALUATION}${scene.file}`)).blob());
    expect((await model.generate({ image, prompt: task.prefix })).tokens).toEqual(recorded[0]);
  },
);
