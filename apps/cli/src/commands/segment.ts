import type { Command } from "commander";
import { compressRle, maskArea, rleFromMask, type CompressedRle } from "@paligemma/masks";
import { prompts, type Segment } from "paligemma";
import type { Result, ResultDetection } from "../ask-pictures.ts";
import { drawingPaths, writeDrawing } from "../draw.ts";
import { interruptible } from "../interruption.ts";
import { modelCommand, type ModelOptions } from "../model-command.ts";
import { withModel, type Model } from "../open-model.ts";
import { readPictures, refuseFile, type Picture } from "../pictures.ts";
import { print, printJson, showDetections } from "../show.ts";

/** `paligemma segment <labels> <pictures...>` */
export function segmentCommand(): Command {
  return modelCommand("segment", "find things in a picture and say which pixels are theirs", [
    "segment circle picture.png --out masks.png",
    "segment star picture.png --json",
  ])
    .argument("<labels>", "what to look for, separated by commas or semicolons")
    .argument("<pictures...>", "picture files; - is the standard input")
    .option("--out <path>", "draw the masks: a .png for one picture, a folder for several")
    .action(async (labels: string, pictures: string[], options: ModelOptions & { readonly out?: string }) => {
      refuseFile(labels, "what to look for");
      await segment(labels.split(/[,;]/), pictures, options);
    });
}

/** A detection with its mask, as `--json` prints it. */
interface ResultSegment extends ResultDetection {
  /** The mask of the whole picture as COCO's compressed run lengths. */
  readonly mask: CompressedRle;
}

async function segment(
  labels: readonly string[],
  names: readonly string[],
  options: ModelOptions & { readonly out?: string },
): Promise<void> {
  const prompt = prompts.segment(labels);
  await interruptible(async (signal) => {
    const paths = options.out === undefined ? undefined : await drawingPaths(options.out, names);
    const pictures = await readPictures(names, signal);
    await withModel(options, signal, async (model, name) => {
      const results: Result[] = [];
      for (const picture of pictures) {
        const { result, segments } = await segmentPicture(model, picture, labels, prompt, { ...options, signal });
        const out = paths?.get(picture.name);
        if (out !== undefined) await writeDrawing(out, picture, segments);
        results.push(out === undefined ? result : { ...result, out });
        if (options.json !== true) print(showDetections(results.at(-1)!));
      }
      if (options.json === true) printJson({ model: name, device: options.device, results });
    });
  });
}

async function segmentPicture(
  model: Model,
  { name, pixels }: Picture,
  labels: readonly string[],
  prompt: string,
  { maxNewTokens, signal }: { readonly maxNewTokens?: number; readonly signal: AbortSignal },
): Promise<{ readonly result: Result; readonly segments: readonly Segment[] }> {
  const how = { ...(maxNewTokens !== undefined && { maxNewTokens }), signal };
  const { items, text, rest, truncated } = await model.segment(pixels, labels, how);
  const detections = items.map(toResult);
  const stoppedBy = truncated ? "length" : "eos";
  const tokens = model.processor.tokenizer.encode(text).length;
  const { width, height } = pixels;
  return {
    result: { picture: name, width, height, prompt, text, tokens, stoppedBy, detections, rest },
    segments: items,
  };
}

function toResult({ label, box, pixels, codes, mask }: Segment): ResultSegment {
  return { label, box, pixels: pixels!, codes, area: maskArea(mask), mask: compressRle(rleFromMask(mask)) };
}
