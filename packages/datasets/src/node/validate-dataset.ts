import type { OnProgress } from "@paligemma/core";
import { badRecord, type BadRecord, type ProblemCode } from "../problems.ts";
import { checkExampleOptions, writeExample, type ExampleOptions } from "../write-example.ts";
import { checkImage } from "./check-image.ts";
import type { Dataset } from "./dataset.ts";

/** What to check, and how texts would be written. */
export interface ValidateOptions extends ExampleOptions {
  /** Looks at every picture's header too; `true` when absent. */
  readonly checkImages?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What was found. */
export interface ValidationSummary {
  readonly records: number;
  readonly bad: number;
  /** How often each kind of mistake was found. */
  readonly problems: ReadonlyMap<ProblemCode, number>;
}

/**
 * Every bad record of a dataset, in its order, with all its mistakes; returns the summary at the end. Nothing is changed
 * or repaired, and one record is in memory at a time.
 */
export async function* validateDataset(
  dataset: Dataset,
  options: ValidateOptions = {},
): AsyncGenerator<BadRecord, ValidationSummary, undefined> {
  const { checkImages = true, onProgress, signal, ...given } = options;
  checkExampleOptions(given);
  const examples = await withClasses(dataset, given, signal);
  const problems = new Map<ProblemCode, number>();
  let [records, bad] = [0, 0];
  for await (const reading of dataset.records(signal)) {
    records++;
    let found = "bad" in reading ? reading.bad : undefined;
    if ("record" in reading) {
      const { record } = reading;
      const image = checkImages ? await checkImage(record, dataset.images) : undefined;
      const size = image && "size" in image ? image.size : record.size;
      const written = writeExample(record, examples, size);
      const all = [
        ...(image && "problem" in image ? [image.problem] : []),
        ...("problems" in written ? written.problems : []),
      ];
      if (all.length > 0)
        found = badRecord(record.origin, all, JSON.stringify({ image: record.image, ...record.content }));
    }
    onProgress?.({ task: "check", done: records, unit: "items" });
    if (!found) continue;
    bad++;
    for (const { code } of found.problems) problems.set(code, (problems.get(code) ?? 0) + 1);
    yield found;
  }
  return { records, bad, problems };
}

/** The options with the dataset's classes, where none were given. */
export async function withClasses(
  dataset: Dataset,
  options: ExampleOptions,
  signal: AbortSignal | undefined,
): Promise<ExampleOptions> {
  if (options.classes !== undefined) return options;
  const classes = await dataset.classes(signal);
  return classes === undefined ? options : { ...options, classes };
}
