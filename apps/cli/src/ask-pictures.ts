import { markupIds, parseDetectionIds, type Box, type ParsedDetections } from "@paligemma/parsers";
import type { AnswerOptions } from "paligemma";
import type { Model } from "./open-model.ts";
import type { Picture } from "./pictures.ts";

/** One answer, as `--json` prints it. */
export interface Result {
  /** The file; null where the prompt stood alone. */
  readonly picture: string | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly prompt: string;
  readonly text: string;
  /** New tokens, the end token included. */
  readonly tokens: number;
  readonly stoppedBy: string;
  /** Boxes in the answer; absent where it has none and none were asked for. */
  readonly detections?: readonly ResultDetection[];
  /** With `detections`: what of the answer is no box. */
  readonly rest?: string;
  /** The picture that was written, with `--out`. */
  readonly out?: string;
}

/** One box of an answer, as `--json` prints it. */
export interface ResultDetection {
  readonly label: string;
  /** Fractions of the picture. */
  readonly box: Box;
  readonly pixels: Box;
  /** The 16 codes of a mask, where the answer has them. */
  readonly codes?: readonly number[];
  /** With `segment`: pixels inside the mask. */
  readonly area?: number;
}

/** How to ask. */
export interface AskOptions extends AnswerOptions {
  readonly batchSize: number;
  /** Boxes were asked for: results have `detections` even when they are empty. */
  readonly boxes: boolean;
}

/** The answers to one prompt about each picture (to the prompt alone where there are none), a batch at a time. */
export async function* askPictures(
  model: Model,
  pictures: readonly Picture[],
  prompt: string,
  options: AskOptions,
): AsyncGenerator<{ readonly result: Result; readonly picture?: Picture }> {
  const { batchSize, boxes, ...answerOptions } = options;
  const asked: readonly (Picture | undefined)[] = pictures.length > 0 ? pictures : [undefined];
  for (let start = 0; start < asked.length; start += batchSize) {
    const batch = asked.slice(start, start + batchSize);
    const asks = batch.map((picture) => ({ prompt, ...(picture && { image: picture.pixels }) }));
    const answers = await model.generate(asks, answerOptions);
    for (const [i, { text, tokens, stoppedBy }] of answers.entries()) {
      const picture = batch[i];
      const answer = { prompt, text, tokens: tokens.length, stoppedBy };
      if (picture === undefined) yield { result: { picture: null, width: null, height: null, ...answer } };
      else yield { result: withBoxes(model, picture, tokens, answer, boxes), picture };
    }
  }
}

function withBoxes(
  model: Model,
  { name, pixels: { width, height } }: Picture,
  tokens: readonly number[],
  answer: Pick<Result, "prompt" | "text" | "tokens" | "stoppedBy">,
  boxes: boolean,
): Result {
  const found = detectionsIn(model, tokens, { width, height });
  const detections = found.items.map(({ label, box, pixels, codes }) => ({
    label,
    box,
    pixels: pixels!,
    ...(codes && { codes }),
  }));
  const shown = boxes || detections.length > 0 ? { detections, rest: found.rest } : {};
  return { picture: name, width, height, ...answer, ...shown };
}

function detectionsIn(
  { processor }: Model,
  tokens: readonly number[],
  size: { width: number; height: number },
): ParsedDetections {
  const decode = (ids: number[]): string => processor.decode(ids, { skipSpecialTokens: true });
  return parseDetectionIds(tokens, size, { decode, markup: markupIds((token) => processor.tokenizer.idOf(token)) });
}
