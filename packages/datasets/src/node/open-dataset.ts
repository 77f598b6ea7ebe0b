import { basename, dirname, extname, join, resolve } from "node:path";
import { PaliGemmaError, unknownKeys } from "@paligemma/core";
import type { Dataset, DatasetFormat, OpenDatasetOptions } from "./dataset.ts";
import { firstFile, isFile, isFolder, listFiles } from "./files.ts";
import { cocoDataset } from "./read-coco.ts";
import { csvDataset, jsonlDataset } from "./read-text-files.ts";
import { vocDataset } from "./read-voc.ts";
import { yoloDataset } from "./read-yolo.ts";

const FORMATS: readonly DatasetFormat[] = ["jsonl", "csv", "coco", "voc", "yolo"];
const BY_ENDING: Readonly<Record<string, DatasetFormat>> = {
  ".jsonl": "jsonl",
  ".csv": "csv",
  ".tsv": "csv",
  ".json": "coco",
  ".yaml": "yolo",
  ".yml": "yolo",
  ".xml": "voc",
};

/**
 * Training data at a path: a file of annotations, or the folder that holds it in the manner of its format. Nothing is
 * read yet but what tells the format. Throws `datasets/format` where there is none, or more than one.
 */
export async function openDataset(path: string, options: OpenDatasetOptions = {}): Promise<Dataset> {
  const known = ["format", "images", "split", "firstPixel"];
  const unknown = unknownKeys(options, known);
  if (unknown.length > 0)
    throw new PaliGemmaError(
      "datasets/option",
      `openDataset has no option ${unknown.map(({ key }) => key).join(", ")}; it has ${known.join(", ")}`,
    );
  const { format, split = "train", firstPixel } = options;
  if (format !== undefined && !FORMATS.includes(format))
    throw new PaliGemmaError(
      "datasets/option",
      `there is no format ${JSON.stringify(format)}; there are ${FORMATS.join(", ")}`,
    );
  const images = options.images === undefined ? undefined : resolve(options.images);
  if (images !== undefined && !(await isFolder(images)))
    throw new PaliGemmaError("datasets/file", `the folder of images ${images} is not there`);
  const found = await find(resolve(path), split, format);
  const folder = dirname(found.path);
  if (found.format === "jsonl") return jsonlDataset(found.path, images ?? folder);
  if (found.format === "csv") return csvDataset(found.path, images ?? folder);
  if (found.format === "coco") return cocoDataset(found.path, images ?? (await cocoImages(found.path, split)));
  if (found.format === "yolo") return yoloDataset(found.path, split, images);
  // Pictures lie beside the folder of annotations, or among them.
  return /^annotations$/i.test(basename(folder))
    ? vocDataset(dirname(folder), basename(folder), images, { firstPixel })
    : vocDataset(folder, ".", images, { firstPixel });
}

interface Found {
  readonly format: DatasetFormat;
  readonly path: string;
}

async function find(path: string, split: string, format: DatasetFormat | undefined): Promise<Found> {
  if (await isFile(path)) {
    const byEnding = BY_ENDING[extname(path).toLowerCase()];
    if (format === undefined && byEnding === undefined)
      throw new PaliGemmaError(
        "datasets/format",
        `${path} ends in none of ${Object.keys(BY_ENDING).join(", ")}; say its format`,
      );
    return { format: format ?? byEnding!, path };
  }
  if (!(await isFolder(path))) throw new PaliGemmaError("datasets/file", `${path} is not there`);
  const found = (await candidates(path, split)).filter(
    (candidate) => format === undefined || candidate.format === format,
  );
  if (found.length === 1) return found[0]!;
  const what =
    found.length === 0
      ? `holds no training data that is known${format === undefined ? "" : ` as ${format}`}`
      : `holds ${found.map((candidate) => candidate.path).join(" and ")}`;
  throw new PaliGemmaError(
    "datasets/format",
    `${path} ${what}. Name the file of annotations itself, or the format or split (${split} was looked for).`,
  );
}

/** Every file of annotations that stands where its format puts it. */
async function candidates(folder: string, split: string): Promise<readonly Found[]> {
  const found: Found[] = [];
  const add = (format: DatasetFormat, path: string | undefined): void => {
    if (path !== undefined) found.push({ format, path });
  };
  const splits = split === "valid" || split === "val" ? ["valid", "val"] : [split];
  const inSplit = (name: string): string[] => splits.flatMap((part) => [join(part, name), join("dataset", name)]);
  const jsonl = await firstFile(
    folder,
    splits.flatMap((part) => [
      `_annotations.${part}.jsonl`,
      `dataset/_annotations.${part}.jsonl`,
      `${part}.jsonl`,
      `${part}/_annotations.jsonl`,
    ]),
  );
  add("jsonl", jsonl ?? (await onlyFile(folder, ".jsonl")));
  add(
    "csv",
    (await firstFile(
      folder,
      splits.map((part) => `${part}.csv`),
    )) ?? (await onlyFile(folder, ".csv")),
  );
  add(
    "coco",
    await firstFile(folder, [
      "_annotations.coco.json",
      ...inSplit("_annotations.coco.json"),
      ...splits.map((part) => `annotations/instances_${part}2017.json`),
      "annotations.json",
      "annotations/instances.json",
    ]),
  );
  add("yolo", await firstFile(folder, ["data.yaml", "data.yml", "dataset.yaml"]));
  for (const place of ["Annotations", "annotations", ...splits, "."]) {
    const [first] = await listFiles(join(folder, place), [".xml"]);
    if (first === undefined) continue;
    add("voc", join(folder, place, first));
    break;
  }
  return found;
}

async function onlyFile(folder: string, ending: string): Promise<string | undefined> {
  const files = await listFiles(folder, [ending]);
  return files.length === 1 ? join(folder, files[0]!) : undefined;
}

/** Beside the file (Roboflow), or in `images` or a folder named as the split beside the file's folder (COCO itself). */
async function cocoImages(path: string, split: string): Promise<string> {
  const folder = dirname(path);
  if (basename(path) === "_annotations.coco.json") return folder;
  for (const candidate of [
    join(folder, "images"),
    join(dirname(folder), `${split}2017`),
    join(dirname(folder), "images"),
  ])
    if (await isFolder(candidate)) return candidate;
  return folder;
}
