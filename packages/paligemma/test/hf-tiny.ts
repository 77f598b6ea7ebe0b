import { readFile } from "node:fs/promises";
import { parseConfig, type PaliGemmaConfig } from "@paligemma/config";
import { openSafetensors, type Checkpoint } from "@paligemma/weights";
import { fileSource } from "@paligemma/weights/node";
import type { NAMES, TinyAnswers } from "./hf-tiny-cases.ts";

export * from "./hf-tiny-cases.ts";

export interface Tiny {
  readonly config: PaliGemmaConfig;
  readonly checkpoint: Checkpoint;
  readonly expected: Checkpoint;
  readonly answers: TinyAnswers;
}

export async function openTiny(name: (typeof NAMES)[number]): Promise<Tiny> {
  const at = (file: string): URL => new URL(`fixtures/hf-tiny/${name}/${file}`, import.meta.url);
  const json = async (file: string): Promise<unknown> => JSON.parse(await readFile(at(file), "utf8"));
  return {
    config: parseConfig(await json("config.json")),
    checkpoint: await openSafetensors(await fileSource(at("model.safetensors"))),
    expected: await openSafetensors(await fileSource(at("expected.safetensors"))),
    answers: (await json("expected.json")) as TinyAnswers,
  };
}
