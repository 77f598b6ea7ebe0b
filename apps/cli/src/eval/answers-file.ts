import { createHash } from "node:crypto";
import { mkdir, open, readFile, readdir, rename, writeFile, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { PaliGemmaError } from "@paligemma/core";
import type { Line } from "./answers.ts";

/** Answers so far, in the order of the dataset, kept where a kill does not reach them. */
export interface Answers extends AsyncDisposable {
  readonly lines: readonly Line[];
  /** Returns when the lines are on the disk. */
  append(lines: readonly Line[]): Promise<void>;
}

/** Everything that decides the answers. */
export type Settings = Readonly<Record<string, string | number | boolean | readonly string[] | null>>;

const ANSWERS = "answers.jsonl";
const SETTINGS = "settings.json";

/** Answers in memory alone. */
export function answersInMemory(): Answers {
  const lines: Line[] = [];
  return {
    lines,
    append: async (more) => void lines.push(...more),
    [Symbol.asyncDispose]: async () => {},
  };
}

/**
 * Answers in a folder: those of a run that was cut off there, to go on with, or none. A line that a kill left unfinished is
 * cut off. Throws `cli/out` for a folder of something else, naming what differs.
 */
export async function openAnswers(folder: string, settings: Settings): Promise<Answers> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw new PaliGemmaError("cli/out", `${folder} is no folder and none can be made: ${(cause as Error).message}`, {
      cause,
    });
  }
  await checkSettings(folder, settings);
  const path = join(folder, ANSWERS);
  const handle = await open(path, "a+");
  const lines = await wholeLines(handle, path);
  return {
    lines,
    async append(more) {
      await handle.appendFile(more.map((line) => `${JSON.stringify(line)}\n`).join(""));
      await handle.sync();
      lines.push(...more);
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** The lines of a file; what follows the last line break is removed from it. */
async function wholeLines(handle: FileHandle, path: string): Promise<Line[]> {
  const bytes = await handle.readFile();
  const end = bytes.lastIndexOf(10) + 1;
  if (end < bytes.length) await handle.truncate(end);
  const texts = bytes.subarray(0, end).toString("utf8").split("\n").slice(0, -1);
  return texts.map((text, i) => {
    const line = parsed(text);
    if (line?.record === i) return line;
    throw new PaliGemmaError(
      "cli/out",
      `line ${i + 1} of ${path} is not the answer to record ${i}; was it edited? Remove the folder to begin again`,
    );
  });
}

function parsed(text: string): Line | undefined {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return undefined;
  }
}

async function checkSettings(folder: string, settings: Settings): Promise<void> {
  const path = join(folder, SETTINGS);
  const names = (await readdir(folder)).filter((name) => !name.endsWith(".partial"));
  if (!names.includes(SETTINGS)) {
    if (names.length > 0)
      throw new PaliGemmaError(
        "cli/out",
        `${folder} holds ${names.slice(0, 3).join(", ")} and no evaluation; name an empty or a new folder`,
      );
    await replaceFile(path, `${JSON.stringify(settings, null, 2)}\n`);
    return;
  }
  const before = JSON.parse(await readFile(path, "utf8")) as Settings;
  const differs = [...new Set([...Object.keys(before), ...Object.keys(settings)])].filter(
    (key) => JSON.stringify(before[key]) !== JSON.stringify(settings[key]),
  );
  if (differs.length > 0)
    throw new PaliGemmaError(
      "cli/out",
      `${folder} holds an evaluation with other settings (${differs.join(", ")}); use the same as before, or another folder`,
    );
}

/** Puts a file in its place as a whole: a kill leaves the old one or the new one. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(`${path}.partial`, content);
  await rename(`${path}.partial`, path);
}

/** A short name for a long text. */
export function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
