import type { Command } from "commander";
import { prompts } from "paligemma";
import { modelCommand, type ModelOptions } from "../model-command.ts";
import { runTask } from "../task.ts";

/** `paligemma ocr <pictures...>` */
export function ocrCommand(): Command {
  return modelCommand("ocr", "read the text in a picture (tiny-shapes cannot read)", [
    "ocr page.png --model path/to/checkpoint",
  ])
    .argument("<pictures...>", "picture files; - is the standard input")
    .action(async (pictures: string[], options: ModelOptions) => {
      await runTask({ prompt: prompts.ocr(), pictures, boxes: false }, options);
    });
}
