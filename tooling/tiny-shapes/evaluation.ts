import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { createNodeBackend } from "@paligemma/backend-node";
import { loadMaskCodec } from "@paligemma/masks";
import { folder } from "@paligemma/tiny-shapes";
import { loadPaliGemma } from "paligemma/node";
import { headingOf, score, type Scene, type Score } from "./score.ts";

/** Asks per batch: enough to fill two cores, little memory. */
const BATCH = 32;

/** What came of one task. */
export interface Result extends Score {
  readonly file: string;
  readonly kind: string;
  readonly prefix: string;
  readonly expected: string;
  readonly text: string;
}

/** The evaluation set's scenes, in order. */
export async function readScenes(): Promise<readonly Scene[]> {
  return JSON.parse(await readFile(new URL("evaluation/truth.json", import.meta.url), "utf8")) as Scene[];
}

/** What to evaluate, and how. */
export interface EvaluateOptions {
  /** Folder of the model. Default: the embedded one. */
  readonly modelFolder?: string | undefined;
  /** Whether boxes and masks are constrained to the labels asked for, as `detect` and `segment` do. Default false. */
  readonly constrained?: boolean | undefined;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Runs every task of the scenes through our own runtime, greedy, in batches of mixed tasks. */
export async function evaluate(
  scenes: readonly Scene[],
  { modelFolder = fileURLToPath(folder), constrained = false, onProgress }: EvaluateOptions = {},
): Promise<readonly Result[]> {
  await using backend = await createNodeBackend();
  await using model = await loadPaliGemma(modelFolder, { backend });
  const codec = await loadMaskCodec(new Uint8Array(await readFile(new URL("mask-codec.safetensors", folder))), {
    sha256: null,
  });
  const jobs = scenes.flatMap((scene) => scene.tasks.map((task) => ({ scene, task })));
  const results: Result[] = [];
  for (let start = 0; start < jobs.length; start += BATCH) {
    const batch = jobs.slice(start, start + BATCH);
    const asks = batch.map(({ scene, task }) => ({
      image: new URL(`evaluation/${scene.file}`, import.meta.url),
      prompt: task.prefix,
    }));
    const constraint = batch.map(({ task }) => {
      const [, verb, labels] = /^(detect|segment) (.+)$/.exec(task.prefix) ?? [];
      return labels === undefined ? undefined : model.constraintTo(verb as "detect" | "segment", labels.split(" ; "));
    });
    const answers = await model.generate(asks, constrained ? { constraint } : {});
    batch.forEach(({ scene, task }, i) => {
      const { text } = answers[i]!;
      results.push({
        file: scene.file,
        kind: task.kind,
        prefix: task.prefix,
        expected: task.suffix,
        text,
        ...score(scene, task, text, codec),
      });
    });
    onProgress?.(results.length, jobs.length);
  }
  return results;
}

/** One line of the table. */
export interface Row {
  readonly heading: string;
  readonly count: number;
  readonly right: number;
  readonly boxIou: number | undefined;
  readonly maskIou: number | undefined;
}

/** Shares and means by heading, and by kind of task. */
export function tabulate(results: readonly Result[]): readonly Row[] {
  const mean = (values: readonly number[]): number | undefined =>
    values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0) / values.length;
  const row = (heading: string, of: readonly Result[]): Row => ({
    heading,
    count: of.length,
    right: mean(of.map((r) => Number(r.right))) ?? 0,
    boxIou: mean(of.flatMap((r) => r.ious ?? [])),
    maskIou: mean(of.flatMap((r) => (r.maskIou === undefined ? [] : [r.maskIou]))),
  });
  const kinds = [...new Set(results.map((r) => r.kind))];
  return [
    ...["caption", "answer", "detect", "segment"].map((heading) =>
      row(
        heading,
        results.filter((r) => headingOf(r.kind) === heading),
      ),
    ),
    ...kinds.map((kind) =>
      row(
        `  ${kind}`,
        results.filter((r) => r.kind === kind),
      ),
    ),
  ];
}
