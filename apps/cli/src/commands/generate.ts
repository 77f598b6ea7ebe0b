import type { Command } from "commander";
import { PaliGemmaError } from "@paligemma/core";
import type { AnswerOptions } from "paligemma";
import { modelCommand, type ModelOptions } from "../model-command.ts";
import { decimalNumber, wholeNumber } from "../numbers.ts";
import { refuseFile } from "../pictures.ts";
import { runTask } from "../task.ts";

interface GenerateFlags {
  readonly out?: string;
  readonly minNewTokens?: number;
  readonly repetitionPenalty?: number;
  readonly stop?: readonly string[];
  readonly beams?: number;
  readonly sample?: boolean;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed?: number;
}

/** `paligemma generate <prompt> [pictures...]` */
export function generateCommand(): Command {
  return modelCommand("generate", "answer any prompt, with every choice of decoding", [
    'generate "caption en" picture.png',
    'generate "detect circle ; star" picture.png --out boxes.png',
    'generate "caption en" picture.png --sample --temperature 0.7 --seed 1',
  ])
    .argument("<prompt>", 'the prompt as the model was taught it, in quotes; "" is a prompt too')
    .argument("[pictures...]", "picture files; - is the standard input")
    .option("--out <path>", "draw the boxes of the answer: a .png for one picture, a folder for several")
    .option("--min-new-tokens <n>", "length of an answer at least", wholeNumber(1))
    .option("--repetition-penalty <x>", "above 1: less repetition", decimalNumber(0.01))
    .option("--stop <text>", "end an answer after this text; may be given several times", collect)
    .option("--beams <n>", "beam search with n beams", wholeNumber(2))
    .option("--sample", "draw tokens at random instead of taking the likeliest")
    .option("--temperature <x>", "with --sample: below 1 bolder, above 1 more varied", decimalNumber(0.01))
    .option("--top-k <n>", "with --sample: among the n likeliest tokens (default: 50)", wholeNumber(0))
    .option("--top-p <x>", "with --sample: among the likeliest tokens that reach x together", decimalNumber(0, 1))
    .option("--seed <n>", "with --sample: makes it repeatable", wholeNumber(0))
    .action(async (prompt: string, pictures: string[], options: ModelOptions & GenerateFlags) => {
      refuseFile(prompt, "the prompt");
      await runTask({ prompt, pictures, boxes: false, out: options.out, answer: answerOptions(options) }, options);
    });
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

function answerOptions(flags: GenerateFlags): AnswerOptions {
  const idle = (["temperature", "topK", "topP", "seed"] as const).filter((name) => flags[name] !== undefined);
  if (idle.length > 0 && flags.sample !== true) {
    const names = idle.map((name) => `--${name.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)}`);
    throw new PaliGemmaError("cli/usage", `${names.join(" and ")} without --sample would do nothing; add --sample`);
  }
  const {
    minNewTokens,
    repetitionPenalty,
    stop: stopStrings,
    beams: numBeams,
    sample: doSample,
    temperature,
    topK,
    topP,
    seed,
  } = flags;
  const named = { minNewTokens, repetitionPenalty, stopStrings, numBeams, doSample, temperature, topK, topP, seed };
  return Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
}
