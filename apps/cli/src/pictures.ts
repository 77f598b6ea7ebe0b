import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { addAbortSignal } from "node:stream";
import { buffer } from "node:stream/consumers";
import { PaliGemmaError, isPaliGemmaError } from "@paligemma/core";
import type { ImageLike } from "@paligemma/processor";
import { decodeImage } from "@paligemma/processor/node";

/** A picture file, read and decoded. */
export interface Picture {
  /** As it was named on the command line. */
  readonly name: string;
  /** The encoded file, for drawing on it. */
  readonly bytes: Uint8Array;
  readonly pixels: ImageLike;
}

/** Reads pictures in order; "-" is the standard input. Throws `cli/picture` naming the file. */
export async function readPictures(names: readonly string[], signal: AbortSignal): Promise<readonly Picture[]> {
  if (names.filter((name) => name === "-").length > 1) {
    throw new PaliGemmaError("cli/picture", "the standard input (-) can be one picture only");
  }
  return await Promise.all(names.map((name) => readPicture(name, signal)));
}

async function readPicture(name: string, signal: AbortSignal): Promise<Picture> {
  const bytes = await readBytes(name, signal);
  try {
    return { name, bytes, pixels: await decodeImage(bytes, { signal }) };
  } catch (cause) {
    if (!isPaliGemmaError(cause)) throw cause;
    const problem = cause.message.replace(`${cause.code}: `, "").replace("the image ", `${name} `);
    throw new PaliGemmaError("cli/picture", problem, { cause });
  }
}

async function readBytes(name: string, signal: AbortSignal): Promise<Uint8Array> {
  try {
    return name === "-" ? await buffer(addAbortSignal(signal, process.stdin)) : await readFile(name, { signal });
  } catch (cause) {
    signal.throwIfAborted();
    const code = (cause as NodeJS.ErrnoException).code;
    const why =
      code === "ENOENT"
        ? "is not there"
        : code === "EISDIR"
          ? "is a folder, not a picture"
          : `cannot be read (${code ?? String(cause)})`;
    throw new PaliGemmaError("cli/picture", `${name} ${why}; give paths of JPEG, PNG, WebP, GIF, TIFF or AVIF files`, {
      cause,
    });
  }
}

/** Throws `cli/usage` where the words of a request are an existing file: then pictures came first. */
export function refuseFile(words: string, what: string): void {
  if (!/\.\w+$/.test(words) || !existsSync(words)) return;
  throw new PaliGemmaError("cli/usage", `${words} is a file: ${what} comes first, then the pictures`);
}

/** The name of a picture without folder and ending. */
export function stem(name: string): string {
  return name === "-" ? "stdin" : basename(name).replace(/\.[^.]+$/, "");
}
