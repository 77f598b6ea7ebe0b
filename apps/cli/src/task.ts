import type { AnswerOptions } from "paligemma";
import { askPictures, type Result } from "./ask-pictures.ts";
import { drawingPaths, writeDrawing } from "./draw.ts";
import { interruptible } from "./interruption.ts";
import type { ModelOptions } from "./model-command.ts";
import { withModel, type Model } from "./open-model.ts";
import { readPictures, type Picture } from "./pictures.ts";
import { CUT_OFF, print, printJson, showDetections, showText } from "./show.ts";

/** One prompt about any number of pictures, and how to show the answers. */
export interface Task {
  readonly prompt: string;
  readonly pictures: readonly string[];
  /** The answers are boxes. */
  readonly boxes: boolean;
  /** The only labels that boxes may have; absent: whatever the model says. */
  readonly labels?: readonly string[];
  /** Where drawings go: a .png, or a folder. */
  readonly out?: string | undefined;
  readonly answer?: AnswerOptions;
}

/** Does a task and prints its answers. Pictures are read before the model is loaded, so that mistakes show at once. */
export async function runTask(task: Task, options: ModelOptions): Promise<void> {
  await interruptible(async (signal) => {
    const paths = task.out === undefined ? undefined : await drawingPaths(task.out, task.pictures);
    const pictures = await readPictures(task.pictures, signal);
    const { maxNewTokens } = options;
    const answer = { ...task.answer, ...(maxNewTokens !== undefined && { maxNewTokens }), signal };
    await withModel(options, signal, async (model, name) => {
      if (streams(task, options)) return await streamAnswer(model, pictures[0], task.prompt, answer);
      const results: Result[] = [];
      const constraint = task.labels && model.constraintTo("detect", task.labels);
      const how = { ...answer, ...(constraint && { constraint }), batchSize: options.batchSize, boxes: task.boxes };
      for await (const { result, picture } of askPictures(model, pictures, task.prompt, how)) {
        const out = picture && paths?.get(picture.name);
        if (out !== undefined) await writeDrawing(out, picture!, result.detections ?? []);
        results.push(out === undefined ? result : { ...result, out });
        if (options.json !== true) print(show(results.at(-1)!, task));
      }
      if (options.json === true) printJson({ model: name, device: options.device, results });
    });
  });
}

function show(result: Result, { boxes, pictures }: Task): string {
  if (boxes) return showDetections(result);
  const text = showText(result, pictures.length > 1);
  return result.out === undefined ? text : `${text}\ndrawn in ${result.out}`;
}

/** One answer in words is written as it comes, for people who wait. */
function streams({ boxes, out, pictures }: Task, { json }: ModelOptions): boolean {
  return process.stdout.isTTY && json !== true && !boxes && out === undefined && pictures.length <= 1;
}

async function streamAnswer(
  model: Model,
  picture: Picture | undefined,
  prompt: string,
  options: AnswerOptions,
): Promise<void> {
  let last: number | undefined;
  for await (const { text, token } of model.stream({ prompt, ...(picture && { image: picture.pixels }) }, options)) {
    process.stdout.write(text);
    last = token;
  }
  const ended = last !== undefined && model.config.eosTokenIds.includes(last);
  print(ended || options.stopStrings !== undefined ? "" : CUT_OFF);
}
