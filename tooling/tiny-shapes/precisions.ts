import { fileURLToPath } from "node:url";
import { createNodeBackend } from "@paligemma/backend-node";
import type { QuantizeOptions } from "@paligemma/quantization";
import { writeBundle } from "@paligemma/quantization/node";
import { folder } from "@paligemma/tiny-shapes";
import { folderFiles } from "@paligemma/weights/node";
import { calibrate, loadPaliGemma } from "paligemma/node";
import type { Scene } from "./score.ts";

/** What is measured. */
export const PRECISIONS: readonly {
  readonly name: string;
  readonly options: QuantizeOptions;
  /** Rounded for what the calibration scenes show. */
  readonly calibrated?: true;
}[] = [
  { name: "int8", options: { dtype: "int8" } },
  { name: "int8, vision int8", options: { dtype: "int8", vision: "int8" } },
  { name: "int8, calibrated", options: { dtype: "int8" }, calibrated: true },
  { name: "mixed", options: { dtype: "mixed" } },
  { name: "mixed, calibrated", options: { dtype: "mixed" }, calibrated: true },
  { name: "int4", options: { dtype: "int4" } },
  { name: "int4, calibrated", options: { dtype: "int4" }, calibrated: true },
  { name: "int4, blocks of 16", options: { dtype: "int4", blockSize: 16 } },
  { name: "int4, blocks of 64", options: { dtype: "int4", blockSize: 64 } },
  { name: "int4, blocks of 64, calibrated", options: { dtype: "int4", blockSize: 64 }, calibrated: true },
  { name: "int4, blocks of 128", options: { dtype: "int4", blockSize: 128 } },
  { name: "int4, blocks of 128, calibrated", options: { dtype: "int4", blockSize: 128 }, calibrated: true },
  { name: "int4, zero points", options: { dtype: "int4", zeroPoints: true } },
  { name: "int4, vision int8", options: { dtype: "int4", vision: "int8" } },
];

/** The embedded model as a bundle, its vision encoder as small as it is in the checkpoint, and the bytes of its tensors. */
export async function writePrecision(
  path: string,
  options: QuantizeOptions,
): Promise<{ readonly path: string; readonly bytes: number }> {
  const { bytes } = await writeBundle(path, await folderFiles(folder), { vision: "keep", ...options });
  return { path, bytes };
}

/** Moments of the embedded model on all tasks of these scenes, with their true answers. */
export async function calibrateOn(scenes: readonly Scene[]): Promise<ReadonlyMap<string, Float32Array>> {
  await using backend = await createNodeBackend();
  const examples = scenes.flatMap(({ file, tasks }) =>
    tasks.map(({ prefix: prompt, suffix }) => ({
      image: new URL(`evaluation/${file}`, import.meta.url),
      prompt,
      suffix,
    })),
  );
  return await calibrate(folder, examples, { backend });
}

/** How far scores are from those of float32, over the tokens of true answers. */
export interface Distance {
  /** Mean Kullback-Leibler divergence of float32's distribution from this one's, in nats. */
  readonly divergence: number;
  /** Share of positions with the same most likely token. */
  readonly agreement: number;
  readonly positions: number;
}

/** Scores of a model against those of the embedded one, given the true answer so far, over all tasks of these scenes. */
export async function compareScores(path: string, scenes: readonly Scene[]): Promise<Distance> {
  await using backend = await createNodeBackend();
  await using exact = await loadPaliGemma(fileURLToPath(folder), { backend });
  await using other = await loadPaliGemma(path, { backend });
  let [divergence, agreed, positions] = [0, 0, 0];
  for (const { file, tasks } of scenes) {
    const image = new URL(`evaluation/${file}`, import.meta.url);
    for (const { prefix: prompt, suffix } of tasks) {
      const { labels, ...inputs } = await exact.processor.process({ image, prompt, suffix });
      // The scores before each token of the answer.
      const asked = [...labels!.data.keys()]
        .slice(1)
        .filter((at) => labels!.data[at] !== -100n)
        .map((at) => at - 1);
      const [a, b] = await Promise.all([exact, other].map((model) => model.forward(inputs, { logitsToKeep: asked })));
      const vocabulary = a!.logits.shape[2]!;
      asked.forEach((_, i) => {
        const [p, q] = [a!, b!].map(({ logits }) =>
          logProbabilities(logits.data.subarray(i * vocabulary, (i + 1) * vocabulary)),
        );
        p!.forEach((x, j) => (divergence += Math.exp(x) * (x - q![j]!)));
        agreed += Number(likeliest(p!) === likeliest(q!));
        positions++;
      });
    }
  }
  return { divergence: divergence / positions, agreement: agreed / positions, positions };
}

function logProbabilities(scores: Float32Array): Float64Array {
  const top = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sum = scores.reduce((total, x) => total + Math.exp(x - top), 0);
  return Float64Array.from(scores, (x) => x - top - Math.log(sum));
}

function likeliest(values: Float64Array): number {
  return values.reduce((best, x, i) => (x > values[best]! ? i : best), 0);
}
