import { dirname, join, relative, resolve, sep } from "node:path";
import { PaliGemmaError } from "@paligemma/core";
import { parse } from "yaml";
import { badRecord } from "../problems.ts";
import type { Reading } from "../record.ts";
import { readYoloLabels } from "../yolo.ts";
import type { Dataset } from "./dataset.ts";
import { fileStamp, IMAGE_ENDINGS, isFile, isFolder, listFiles, readSmallFile } from "./files.ts";

/**
 * A YOLO dataset by its `data.yaml`: `names`, and the folder of a split's pictures. Labels lie in the folder named
 * `labels` where the pictures' is named `images`; a picture without a label file shows nothing.
 */
export async function yoloDataset(path: string, split: string, givenImages: string | undefined): Promise<Dataset> {
  const { names, folders } = readDataFile(await readSmallFile(path), path, split);
  const root = dirname(path);
  const images = givenImages ?? (await findFolder(root, folders, split, path));
  const labels = images.split(sep).toSpliced(images.split(sep).lastIndexOf("images"), 1, "labels").join(sep);
  const files = (): Promise<readonly string[]> => listFiles(images, IMAGE_ENDINGS);
  const labelFile = (image: string): string => join(labels, image.replace(/\.[^.]+$/, ".txt"));
  return {
    format: "yolo",
    path,
    images,
    count: async () => (await files()).length,
    classes: () => Promise.resolve(names),
    async *records(signal): AsyncGenerator<Reading, void, undefined> {
      for (const image of await files()) {
        signal?.throwIfAborted();
        const file = labelFile(image);
        const text = (await isFile(file)) ? await readSmallFile(file) : "";
        const { objects, problems } = readYoloLabels(text, names);
        const origin = { file: relative(root, file).split(sep).join("/"), line: 1 };
        yield problems.length > 0
          ? { bad: badRecord(origin, problems, text) }
          : { record: { origin, image, content: { kind: "objects", objects } } };
      }
    },
    async fingerprint() {
      const all = (await files()).map(labelFile);
      const present: string[] = [];
      for (const file of all) if (await isFile(file)) present.push(file);
      return fileStamp([path, ...present]);
    },
  };
}

function readDataFile(
  text: string,
  path: string,
  split: string,
): { readonly names: readonly string[]; readonly folders: readonly string[] } {
  let data: unknown;
  try {
    data = parse(text, { maxAliasCount: 0 });
  } catch (cause) {
    throw new PaliGemmaError("datasets/yaml", `${path} is no YAML: ${(cause as Error).message}`, { cause });
  }
  const fields = (typeof data === "object" && data !== null ? data : {}) as Record<string, unknown>;
  const given = fields["names"];
  const entries = Array.isArray(given)
    ? given
    : typeof given === "object" && given !== null
      ? Object.entries(given).toSorted(([a], [b]) => Number(a) - Number(b))
      : [];
  const names = entries.map((entry: unknown, i): unknown =>
    Array.isArray(given)
      ? entry
      : Number((entry as [string, unknown])[0]) === i
        ? (entry as [string, unknown])[1]
        : undefined,
  );
  if (names.length === 0 || !names.every((name) => typeof name === "string")) {
    throw new PaliGemmaError(
      "datasets/yaml",
      `${path} has no names of classes: a list of texts, or texts numbered from 0 on, is needed`,
    );
  }
  const key = split === "valid" || split === "val" ? ["val", "valid"] : [split];
  const base = typeof fields["path"] === "string" ? fields["path"] : "";
  const folders = key.flatMap((name) =>
    typeof fields[name] === "string" ? [fields[name], join(base, fields[name])] : [],
  );
  return { names, folders };
}

/** Where the pictures are: as the file says it, from the file's folder or one that its `../` was meant from, or by habit. */
async function findFolder(root: string, folders: readonly string[], split: string, path: string): Promise<string> {
  const candidates = [
    ...folders.flatMap((folder) => [resolve(root, folder), resolve(root, folder.replace(/^(\.\.\/)+/, ""))]),
    join(root, split, "images"),
    join(root, "images", split),
  ];
  for (const candidate of candidates)
    if (candidate.split(sep).includes("images") && (await isFolder(candidate))) return candidate;
  throw new PaliGemmaError(
    "datasets/format",
    `${path} leads to no folder of images for ${JSON.stringify(split)}; tried ${[...new Set(candidates)].join(", ")}. Give the folder by images.`,
  );
}
