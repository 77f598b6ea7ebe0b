import type { Command } from "commander";
import { prompts } from "paligemma";
import { modelCommand, type ModelOptions } from "../model-command.ts";
import { refuseFile } from "../pictures.ts";
import { runTask } from "../task.ts";

/** `paligemma answer <question> <pictures...>` */
export function answerCommand(): Command {
  return modelCommand("answer", "answer a question about a picture", [
    'answer "how many stars are there?" picture.png',
    'answer "is there a circle?" *.png --json',
  ])
    .argument("<question>", "the question, in quotes")
    .argument("<pictures...>", "picture files; - is the standard input")
    .option("--language <code>", "language of the answer", "en")
    .action(async (question: string, pictures: string[], options: ModelOptions & { readonly language: string }) => {
      refuseFile(question, "the question");
      await runTask({ prompt: prompts.answer(question, options.language), pictures, boxes: false }, options);
    });
}
