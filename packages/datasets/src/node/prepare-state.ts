import { open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { PaliGemmaError } from "@paligemma/core";

/** A finished file of records. */
export interface Shard {
  readonly file: string;
  readonly records: number;
  /** Tokens of its longest row. */
  readonly tokens: number;
}

/** What is done and safe on the disk. */
export interface PrepareState {
  /** Digest of everything that decides the bytes of the output. */
  readonly settings: string;
  /** Records of the dataset that are done, bad ones included. */
  readonly done: number;
  readonly written: number;
  readonly bad: number;
  /** Bytes of the file of bad records that belong to what is done. */
  readonly badBytes: number;
  /** Bytes of the JSONL file that belong to what is done; 0 where shards are written. */
  readonly lineBytes: number;
  readonly shards: readonly Shard[];
}

/** The file that holds the state while the work goes on. */
export const STATE_FILE = "state.json";

/** The file that stands at the end and says what there is. */
export const INDEX_FILE = "index.json";

const NOTHING = { done: 0, written: 0, bad: 0, badBytes: 0, lineBytes: 0, shards: [] };

/**
 * Where to go on in a folder: the state of the run that was cut off there, or the beginning. Files that the state does
 * not know are removed. Throws `datasets/output` for a folder that holds something else.
 */
export async function resumeState(folder: string, settings: string): Promise<PrepareState> {
  const names = await readdir(folder);
  if (names.includes(INDEX_FILE))
    throw new PaliGemmaError(
      "datasets/output",
      `${folder} holds finished data (${INDEX_FILE}); give another folder, or remove it`,
    );
  if (!names.includes(STATE_FILE)) {
    const foreign = names.filter((name) => !isOurs(name));
    if (foreign.length > 0)
      throw new PaliGemmaError(
        "datasets/output",
        `${folder} is not empty (${foreign.slice(0, 3).join(", ")}); give an empty or a new folder`,
      );
    for (const name of names) await rm(join(folder, name));
    return { settings, ...NOTHING };
  }
  const state = JSON.parse(await readFile(join(folder, STATE_FILE), "utf8")) as PrepareState;
  if (state.settings !== settings) {
    throw new PaliGemmaError(
      "datasets/output",
      `${folder} holds the beginning of other data: the dataset or an option changed since. Use the same as before, or give another folder`,
    );
  }
  const known = new Set([STATE_FILE, BAD_FILE, LINES_FILE, ...state.shards.map(({ file }) => file)]);
  for (const name of names) if (!known.has(name) && isOurs(name)) await rm(join(folder, name));
  return state;
}

/** The file of bad records. */
export const BAD_FILE = "bad.jsonl";

/** The file of texts, where those are wanted. */
export const LINES_FILE = "data.jsonl";

/** The name of a shard, numbered from 0. */
export function shardName(number: number): string {
  return `data-${String(number).padStart(5, "0")}.safetensors`;
}

/** Files that a run makes, unfinished ones included. */
function isOurs(name: string): boolean {
  return (
    name === BAD_FILE || name === LINES_FILE || /^data-\d{5,}\.safetensors$/.test(name) || name.endsWith(".partial")
  );
}

/** Puts a JSON file in its place as a whole: a kill leaves the old one or the new one. */
export async function replaceJson(folder: string, name: string, value: unknown): Promise<void> {
  const temporary = join(folder, `.${name}.partial`);
  const handle = await open(temporary, "w");
  try {
    await handle.writeFile(`${JSON.stringify(value, null, 1)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, join(folder, name));
}
