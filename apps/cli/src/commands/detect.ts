import type { Command } from "commander";
import { prompts } from "paligemma";
import { modelCommand, type ModelOptions } from "../model-command.ts";
import { refuseFile } from "../pictures.ts";
import { runTask } from "../task.ts";

/** `paligemma detect <labels> <pictures...>` */
export function detectCommand(): Command {
  return modelCommand("detect", "find things in a picture and say where they are", [
    "detect circle picture.png",
    'detect "circle, red star" picture.png --out boxes.png',
    "detect star *.png --out drawings --json",
  ])
    .argument("<labels>", "what to look for, separated by commas or semicolons")
    .argument("<pictures...>", "picture files; - is the standard input")
    .option("--out <path>", "draw the boxes: a .png for one picture, a folder for several")
    .action(async (labels: string, pictures: string[], options: ModelOptions & { readonly out?: string }) => {
      refuseFile(labels, "what to look for");
      const asked = labels.split(/[,;]/);
      await runTask({ prompt: prompts.detect(asked), labels: asked, pictures, boxes: true, out: options.out }, options);
    });
}
