import { fileURLToPath } from "node:url";
import { relative } from "node:path";
import type { Command } from "commander";
import { parameterCount } from "@paligemma/config";
import { prompts } from "paligemma";
import { askPictures, type Result } from "../ask-pictures.ts";
import { drawingPaths, writeDrawing } from "../draw.ts";
import { interruptible } from "../interruption.ts";
import { modelCommand, type ModelOptions } from "../model-command.ts";
import { withModel } from "../open-model.ts";
import { readPictures } from "../pictures.ts";
import { print, printJson, showDetections } from "../show.ts";

const PICTURE = fileURLToPath(new URL("../../assets/demo.png", import.meta.url));
const QUESTIONS = ["how many triangles are there?", "what color is the square?"];
const LABELS = ["circle", "triangle"];

/** `paligemma demo`: what the model can do, on a picture that comes with it. */
export function demoCommand(): Command {
  return modelCommand("demo", "show what the model does with a picture that comes along", [
    "demo",
    "demo --out somewhere.png",
  ])
    .option("--out <path>", "where the picture with its boxes goes", "demo-boxes.png")
    .action(demo);
}

async function demo(options: ModelOptions & { readonly out: string }): Promise<void> {
  await interruptible(async (signal) => {
    const near = relative(process.cwd(), PICTURE);
    const name = near.startsWith("..") ? PICTURE : near;
    const paths = await drawingPaths(options.out, [name]);
    const pictures = await readPictures([name], signal);
    const started = performance.now();
    await withModel(options, signal, async (model, modelName) => {
      const loaded = performance.now();
      const { maxNewTokens } = options;
      const how = { ...(maxNewTokens !== undefined && { maxNewTokens }), signal, batchSize: 1 };
      const results: Result[] = [];
      const ask = async (prompt: string, boxes: boolean): Promise<Result> => {
        for await (const { result } of askPictures(model, pictures, prompt, { ...how, boxes })) results.push(result);
        return results.at(-1)!;
      };
      const tell = (title: string, text: string): void => {
        if (options.json !== true) print(`${title.padEnd(9)} ${text}`);
      };
      tell("picture", `${name} (${pictures[0]!.pixels.width} × ${pictures[0]!.pixels.height})`);
      tell(
        "model",
        `${modelName}, ${(parameterCount(model.config) / 1e6).toFixed(1)} million parameters, on ${options.device}`,
      );
      tell("caption", (await ask(prompts.caption("en"), false)).text);
      for (const question of QUESTIONS) {
        tell("question", question);
        tell("answer", (await ask(prompts.answer(question, "en"), false)).text);
      }
      tell("detect", LABELS.join(", "));
      const found = await ask(prompts.detect(LABELS), true);
      const out = paths.get(name)!;
      await writeDrawing(out, pictures[0]!, found.detections ?? []);
      results[results.length - 1] = { ...found, out };
      if (options.json === true) return printJson({ model: modelName, device: options.device, results });
      print(showDetections(results.at(-1)!));
      print(
        `loaded in ${seconds(started, loaded)}, answered ${results.length} prompts in ${seconds(loaded, performance.now())}`,
      );
    });
  });
}

function seconds(from: number, to: number): string {
  return `${((to - from) / 1000).toFixed(1)} s`;
}
