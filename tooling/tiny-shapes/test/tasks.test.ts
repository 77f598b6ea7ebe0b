import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { readScenes } from "../evaluation.ts";

it("tasks.jsonl, which paligemma eval reads, has the questions of truth.json", async () => {
  const lines = (await readFile(new URL("../evaluation/tasks.jsonl", import.meta.url), "utf8")).trimEnd().split("\n");
  const scenes = await readScenes();
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual(
    scenes.flatMap(({ file, tasks }) => tasks.map(({ prefix, suffix }) => ({ image: file, prefix, suffix }))),
  );
});
