import { existsSync, readdirSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { createNodeBackend } from "@paligemma/backend-node";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import { writeExample } from "@paligemma/datasets";
import { openDataset } from "@paligemma/datasets/node";
import type { ImageSource } from "@paligemma/processor/node";
import type { ModelFiles } from "@paligemma/weights";
import { prompts, type CalibrationExample } from "paligemma";
import { calibrate } from "paligemma/node";

const PICTURES: ReadonlySet<string> = new Set([".avif", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"]);
const RECORDS: ReadonlySet<string> = new Set([".csv", ".json", ".jsonl", ".tsv", ".xml", ".yaml", ".yml"]);

/** Moments for quantising: what the model's matrices meet when it is asked about at most `limit` pictures or records at `path`. */
export async function calibrateWith(
  path: string,
  files: ModelFiles,
  { limit, ...how }: { readonly limit: number; readonly signal: AbortSignal; readonly onProgress: OnProgress },
): Promise<ReadonlyMap<string, Float32Array>> {
  const examples = examplesAt(path, limit, how.signal);
  await using backend = await createNodeBackend();
  return await calibrate(files, examples, { backend, ...how });
}

/** Pictures get the prompt for captions; records of training data have prompts and answers. Bad records are passed over. */
async function* examplesAt(
  path: string,
  limit: number,
  signal: AbortSignal,
): AsyncGenerator<CalibrationExample<ImageSource>> {
  if (!existsSync(path))
    throw new PaliGemmaError(
      "cli/calibrate",
      `${path} is not there; give a picture, a folder of pictures, or training data`,
    );
  const names = statSync(path).isDirectory() ? readdirSync(path).toSorted() : [path];
  const endings = names.map((name) => extname(name).toLowerCase());
  if (endings.some((ending) => PICTURES.has(ending)) && !endings.some((ending) => RECORDS.has(ending))) {
    const pictures = names.filter((_, i) => PICTURES.has(endings[i]!)).slice(0, limit);
    for (const name of pictures)
      yield { image: name === path ? path : join(path, name), prompt: prompts.caption("en") };
    return;
  }
  const dataset = await openDataset(path);
  let count = 0;
  for await (const reading of dataset.records(signal)) {
    if (!("record" in reading)) continue;
    const written = writeExample(reading.record);
    if ("problems" in written) continue;
    yield { image: join(dataset.images, reading.record.image), prompt: written.prompt, suffix: written.answer };
    if (++count >= limit) return;
  }
}
