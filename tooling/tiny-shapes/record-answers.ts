// Records what the embedded model answers in Node, as the browser's tests expect it: one task of each of the 200 scenes,
// every kind in turn, and the first of them in 8 and 4 bits. Records the model's self-check, too.
//   node --conditions=@paligemma/source --import tsx tooling/tiny-shapes/record-answers.ts
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { createNodeBackend } from "@paligemma/backend-node";
import { folder } from "@paligemma/tiny-shapes";
import { folderFiles } from "@paligemma/weights/node";
import { SELF_CHECK_FILE, recordSelfCheck } from "paligemma";
import { loadPaliGemma } from "paligemma/node";
import { packedFiles } from "./packed-files.ts";
import { ANSWERS, pickTasks, type RecordedAnswers } from "./answers.ts";
import { readScenes } from "./evaluation.ts";

/** Asks per batch: enough to fill two cores, little memory. */
const BATCH = 40;
/** Tasks that are asked of quantised weights too: each kind once. */
const QUANTISED = 8;

const tasks = pickTasks(await readScenes());
await using backend = await createNodeBackend({ device: "cpu" });

async function tokensOf(count: number, dtype?: "int8" | "int4"): Promise<number[][]> {
  const files = await folderFiles(fileURLToPath(folder));
  await using model = await loadPaliGemma(dtype ? await packedFiles(files, dtype) : files, { backend });
  const tokens: number[][] = [];
  for (let start = 0; start < count; start += BATCH) {
    const asks = tasks.slice(start, Math.min(start + BATCH, count)).map(({ scene, task }) => ({
      image: new URL(`evaluation/${scene.file}`, import.meta.url),
      prompt: task.prefix,
    }));
    tokens.push(...(await model.generate(asks)).map((answer) => [...answer.tokens]));
  }
  return tokens;
}

const recorded: RecordedAnswers = {
  float32: await tokensOf(tasks.length),
  int8: await tokensOf(QUANTISED, "int8"),
  int4: await tokensOf(QUANTISED, "int4"),
};
const lines = Object.entries(recorded).map(
  ([dtype, rows]) => `"${dtype}": [\n${(rows as number[][]).map((row) => JSON.stringify(row)).join(",\n")}\n]`,
);
await writeFile(new URL(ANSWERS, import.meta.url), `{\n${lines.join(",\n")}\n}\n`);

await using model = await loadPaliGemma(fileURLToPath(folder), { backend, selfCheck: false });
const blank = { width: 8, height: 8, channels: 3, data: new Uint8Array(192) } as const;
const { inputIds } = await model.processor.process([{ image: blank, prompt: "caption en" }]);
const check = await recordSelfCheck(model.model, Array.from(inputIds.data, Number));
await writeFile(new URL(SELF_CHECK_FILE, folder), `${JSON.stringify(check)}\n`);
