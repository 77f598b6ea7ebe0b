import { readFile } from "node:fs/promises";
import { isPaliGemmaError, type OnProgress } from "@paligemma/core";
import type { Reading } from "@paligemma/datasets";
import { checkImage, type Dataset } from "@paligemma/datasets/node";
import type { MaskCodec } from "@paligemma/masks";
import type { ImageLike } from "@paligemma/processor";
import { decodeImage } from "@paligemma/processor/node";
import type { Model } from "../open-model.ts";
import type { Answers } from "./answers-file.ts";
import type { BadLine, Line } from "./answers.ts";
import { judge } from "./judge.ts";
import { questionOf, type Question, type QuestionOptions } from "./question.ts";

/** What to evaluate, and how. */
export interface Evaluation extends QuestionOptions {
  readonly model: Model;
  readonly dataset: Dataset;
  /** Needed once there are masks to compare. */
  readonly codec: () => Promise<MaskCodec>;
  readonly answers: Answers;
  /** Questions that are answered together. */
  readonly batchSize: number;
  /** Records at most, from the first. */
  readonly limit: number;
  readonly maxNewTokens?: number | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

/** A question with its picture, ready to be asked. */
interface Asked extends Question {
  readonly record: number;
  readonly reading: Extract<Reading, { readonly record: unknown }>;
  readonly pixels: ImageLike;
}

/**
 * Answers the records that have no answer yet, in their order. Answers are appended a batch at a time, so what an abort or a
 * kill interrupts is asked again and nothing else is.
 */
export async function evaluate(evaluation: Evaluation): Promise<void> {
  const { dataset, answers, batchSize, limit, signal, onProgress } = evaluation;
  const total = Math.min(limit, await dataset.count(signal));
  const report = (): void =>
    onProgress({
      task: "eval",
      done: answers.lines.length,
      total: Math.max(total, answers.lines.length),
      unit: "items",
    });
  const done = answers.lines.length;
  let waiting: (Asked | BadLine)[] = [];
  const flush = async (): Promise<void> => {
    if (waiting.length > 0) await answers.append(await answer(waiting, evaluation));
    waiting = [];
    report();
  };
  report();
  let record = 0;
  for await (const reading of dataset.records(signal)) {
    signal.throwIfAborted();
    if (record >= limit) break;
    if (record >= done) waiting.push(await ask(record, reading, evaluation));
    record++;
    if (waiting.length >= batchSize) await flush();
  }
  await flush();
}

/** The question of a record with its picture decoded, or why it cannot be asked. */
async function ask(record: number, reading: Reading, { dataset, ...options }: Evaluation): Promise<Asked | BadLine> {
  if ("bad" in reading) return { record, origin: reading.bad.origin, bad: named(reading.bad.problems) };
  const { origin } = reading.record;
  const image = await checkImage(reading.record, dataset.images);
  if ("problem" in image) return { record, origin, bad: named([image.problem]) };
  const question = questionOf(reading.record, image.size, options);
  if ("problems" in question) return { record, origin, bad: named(question.problems) };
  try {
    const pixels = await decodeImage(await readFile(image.path), { signal: options.signal });
    return { ...question, record, reading, pixels };
  } catch (error) {
    if (!isPaliGemmaError(error)) throw error;
    return { record, origin, bad: [{ code: "image/unreadable", message: error.message }] };
  }
}

/** Codes and messages alone: the rest of a mistake is for those who correct it. */
function named(problems: BadLine["bad"]): BadLine["bad"] {
  return problems.map(({ code, message }) => ({ code, message }));
}

async function answer(waiting: readonly (Asked | BadLine)[], evaluation: Evaluation): Promise<readonly Line[]> {
  const { model, batchSize, maxNewTokens, signal } = evaluation;
  const asked = waiting.filter((one) => "asks" in one);
  const asks = asked.flatMap(({ asks: prompts, pixels }) => prompts.map((prompt) => ({ prompt, image: pixels })));
  const texts: string[] = [];
  for (let start = 0; start < asks.length; start += batchSize) {
    const how = { ...(maxNewTokens !== undefined && { maxNewTokens }), signal };
    const got = await model.generate(asks.slice(start, start + batchSize), how);
    texts.push(...got.map(({ text }) => text));
  }
  const codec = asked.some(({ metric }) => metric === "masks") ? await evaluation.codec() : undefined;
  let at = 0;
  return waiting.map((one): Line => {
    if (!("asks" in one)) return one;
    const { record, reading, task, metric, prompt, expected, objects, pixels } = one;
    const text = texts
      .slice(at, (at += one.asks.length))
      .filter((part) => part !== "")
      .join(" ; ");
    const size = { width: pixels.width, height: pixels.height };
    const truth = { metric, expected, size, codec, ...(objects && { objects }) };
    const { origin, image } = reading.record;
    return { record, origin, image, task, metric, prompt, expected, answer: text, ...judge(text, truth) };
  });
}
