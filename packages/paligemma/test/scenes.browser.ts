import { createWebGpuBackend, type WebGpuBackend } from "@paligemma/backend-webgpu";
import { loadMaskCodec } from "@paligemma/masks";
import { decodeImage, type BrowserImageSource } from "@paligemma/processor/browser";
import { loadPaliGemma, type Answer } from "paligemma";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { pickTasks, type RecordedAnswers } from "../../../tooling/tiny-shapes/answers.ts";
import { score, type Scene } from "../../../tooling/tiny-shapes/score.ts";
import { embeddedFiles } from "./embedded-files.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** How many scenes of tiny-shapes' evaluation are asked. */
    readonly scenes: number;
  }
}

/** Asks per batch: a step costs a software adapter nearly the same for one row as for many. */
const BATCH = 40;
/** How many of the 200 scenes; a few unless the environment variable SCENES says more. */
const SCENES = inject("scenes");

const read = async <T>(path: string): Promise<T> =>
  (await (await fetch(`/tooling/tiny-shapes/evaluation/${path}`)).json()) as T;

let backend: WebGpuBackend;
let tasks: ReturnType<typeof pickTasks>;
let recorded: RecordedAnswers;
beforeAll(async () => {
  backend = await createWebGpuBackend();
  tasks = pickTasks(await read<Scene[]>("truth.json"));
  recorded = await read<RecordedAnswers>("answers.json");
});
afterAll(() => backend.dispose());

/** Answers on WebGPU to the first tasks. */
async function answers(count: number): Promise<readonly Answer[]> {
  await using model = await loadPaliGemma(await embeddedFiles(), {
    backend,
    decodeImage: (source: BrowserImageSource) => decodeImage(source),
  });
  const asks = await Promise.all(
    tasks.slice(0, count).map(async ({ scene, task }) => ({
      image: await (await fetch(`/tooling/tiny-shapes/evaluation/${scene.file}`)).blob(),
      prompt: task.prefix,
    })),
  );
  const all: Answer[] = [];
  for (let start = 0; start < count; start += BATCH) {
    all.push(...(await model.generate(asks.slice(start, start + BATCH))));
  }
  return all;
}

test(
  `${SCENES} scenes of the evaluation are answered on WebGPU as in Node, and as well`,
  { timeout: 240_000 + SCENES * 10_000 },
  async ({ annotate }) => {
    const given = await answers(SCENES);
    const expected = recorded.float32.slice(0, SCENES);
    const other = expected.flatMap((tokens, i) => (tokens.join() === given[i]!.tokens.join() ? [] : [i]));
    await annotate(`${other.length} of ${SCENES} answers have other ids: ${other.join(", ")}`);
    expect(other.length).toBeLessThanOrEqual(SCENES / 100);

    const codec = await loadMaskCodec(
      new Uint8Array(await (await fetch("/packages/tiny-shapes/model/mask-codec.safetensors")).arrayBuffer()),
      { sha256: null },
    );
    const scores = given.map(({ text }, i) => score(tasks[i]!.scene, tasks[i]!.task, text, codec));
    const right = scores.filter((each) => each.right).length;
    await annotate(`${right} of ${SCENES} answers are right`);
    // The whole evaluation gives 97.4 in a hundred.
    expect(right).toBeGreaterThanOrEqual(SCENES * 0.95 - 1);
  },
);
