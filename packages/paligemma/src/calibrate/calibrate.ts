import type { Backend } from "@paligemma/backend";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import type { ImageLike } from "@paligemma/processor";
import type { ModelFiles } from "@paligemma/weights";
import type { Ask } from "../ask.ts";
import { loadPaliGemma } from "../paligemma.ts";
import { momentsBackend } from "./moments-backend.ts";

/** What a model is shown for calibration: a question and, where it is known, the right answer. */
export interface CalibrationExample<Source = never> extends Ask<Source> {
  /** Default: what the model answers, at most 32 tokens of it. */
  readonly suffix?: string;
}

/** How to calibrate. */
export interface CalibrateOptions<Source = never> {
  /** Where the model runs, in its own precision. */
  readonly backend: Backend;
  readonly decodeImage?: (source: Source) => Promise<ImageLike>;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** Tokens of an answer that the model makes up itself. */
const ANSWER_TOKENS = 32;

/**
 * Runs a model on examples and measures what its matrices are multiplied with: for each, by its released name, the second moments
 * of the other operand, for 128 columns at a time. Quantising with these `moments` makes the error of products small instead of
 * that of weights.
 * Throws `paligemma/calibrate` where there are no examples.
 */
export async function calibrate<Source = never>(
  files: ModelFiles,
  examples: Iterable<CalibrationExample<Source>> | AsyncIterable<CalibrationExample<Source>>,
  { backend, decodeImage, onProgress, signal }: CalibrateOptions<Source>,
): Promise<ReadonlyMap<string, Float32Array>> {
  const watching = momentsBackend(backend);
  const run = signal ? { signal } : {};
  await using model = await loadPaliGemma<Source>(files, {
    backend: watching.backend,
    visionCacheBytes: 0, // what is not computed is not seen
    ...(decodeImage && { decodeImage }),
    ...(onProgress && { onProgress }),
    ...run,
  });

  /** Written token by token, and so not watched. */
  async function ownAnswer(ask: Ask<Source>): Promise<string> {
    watching.watching = false;
    const { text } = await model.generate(ask, { maxNewTokens: ANSWER_TOKENS, ...run });
    watching.watching = true;
    return text;
  }

  let done = 0;
  for await (const { suffix, ...ask } of examples) {
    signal?.throwIfAborted();
    const answer = suffix ?? (await ownAnswer(ask));
    await model.forward(await model.processor.process([{ ...ask, suffix: answer }], run), { logitsToKeep: 1, ...run });
    done++;
    onProgress?.({ task: "calibrate", done, unit: "items" });
  }
  if (done > 0) return watching.moments();
  throw new PaliGemmaError("paligemma/calibrate", "there was no example to calibrate with; give at least one picture");
}
