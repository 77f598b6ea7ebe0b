import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PaliGemmaError } from "@paligemma/core";
import type { DrawnObject } from "@paligemma/drawing";
import { drawDetections } from "@paligemma/drawing/node";
import { stem, type Picture } from "./pictures.ts";

/**
 * Where the drawing of each picture goes: `out` itself for one, `<out>/<name>-boxes.png` for several. Throws `cli/usage` before any
 * work is done.
 */
export async function drawingPaths(out: string, pictures: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (pictures.length === 0)
    throw new PaliGemmaError("cli/usage", "--out draws on a picture; name one after the prompt");
  const isFolder = (await stat(out).catch(() => undefined))?.isDirectory() ?? false;
  if (pictures.length <= 1 && !isFolder) {
    if (!out.toLowerCase().endsWith(".png"))
      throw new PaliGemmaError("cli/usage", `--out is ${out}; drawings are written as PNG, so end it in .png`);
    return new Map(pictures.map((name) => [name, out]));
  }
  if (!isFolder && /\.\w+$/.test(out)) {
    throw new PaliGemmaError("cli/usage", `--out is ${out}, one file for ${pictures.length} pictures; name a folder`);
  }
  const paths = new Map(pictures.map((name) => [name, join(out, `${stem(name)}-boxes.png`)]));
  if (new Set(paths.values()).size < new Set(pictures).size) {
    throw new PaliGemmaError(
      "cli/usage",
      "two of the pictures have the same file name, so their drawings would overwrite each other; ask in two commands",
    );
  }
  return paths;
}

/** Writes the picture with boxes and masks over it; makes the folder where it is missing. */
export async function writeDrawing(path: string, picture: Picture, objects: readonly DrawnObject[]): Promise<void> {
  const png = await drawDetections(picture.bytes, objects);
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, png);
  } catch (cause) {
    throw new PaliGemmaError("cli/out", `${path} cannot be written: ${(cause as Error).message}`, { cause });
  }
}
