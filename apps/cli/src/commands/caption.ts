import type { Command } from "commander";
import { prompts } from "paligemma";
import { modelCommand, type ModelOptions } from "../model-command.ts";
import { runTask } from "../task.ts";

/** `paligemma caption <pictures...>` */
export function captionCommand(): Command {
  return modelCommand("caption", "say in a sentence what is in a picture", [
    "caption picture.jpg",
    "caption *.png --json",
    "caption picture.jpg --model path/to/checkpoint --language de",
  ])
    .argument("<pictures...>", "picture files; - is the standard input")
    .option("--language <code>", "language of the caption", "en")
    .action(async (pictures: string[], options: ModelOptions & { readonly language: string }) => {
      await runTask({ prompt: prompts.caption(options.language), pictures, boxes: false }, options);
    });
}
