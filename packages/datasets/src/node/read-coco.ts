import { open } from "node:fs/promises";
import { basename } from "node:path";
import { readCocoCategories, readCocoImage, type CocoElement } from "../coco.ts";
import { badRecord, shown } from "../problems.ts";
import type { Reading } from "../record.ts";
import type { Dataset } from "./dataset.ts";
import { fileStamp } from "./files.ts";
import { readJsonElements, type JsonElement } from "./json-elements.ts";

/** Where an element stands in the file: 24 bytes of memory each, whatever it holds. */
interface Place {
  readonly start: number;
  readonly end: number;
  readonly line: number;
}

interface Index {
  readonly categories: readonly CocoElement[];
  readonly images: readonly (Place & { readonly id: unknown; readonly annotations: Place[] })[];
  /** Elements that belong to no image, or are no JSON. */
  readonly bad: readonly Reading[];
}

/** A COCO annotation file. Its elements are found once and read when their picture is due. */
export function cocoDataset(path: string, images: string): Dataset {
  const file = basename(path);
  let found: Promise<Index> | undefined;
  const index = (signal?: AbortSignal): Promise<Index> =>
    (found ??= buildIndex(path, file, signal).catch((error: unknown) => {
      found = undefined;
      throw error;
    }));
  return {
    format: "coco",
    path,
    images,
    async count(signal) {
      const { images: all, bad } = await index(signal);
      return all.length + bad.length;
    },
    async classes(signal) {
      const { categories } = await index(signal);
      return [...readCocoCategories(categories).names.values()];
    },
    async *records(signal) {
      const { images: all, categories, bad } = await index(signal);
      const { names } = readCocoCategories(categories);
      await using handle = await open(path);
      const read = async ({ start, end, line }: Place): Promise<CocoElement> => {
        const bytes = Buffer.alloc(end - start);
        await handle.read(bytes, 0, bytes.length, start);
        return { value: JSON.parse(bytes.toString("utf8")) as unknown, line };
      };
      for (const image of all) {
        signal?.throwIfAborted();
        const annotations: CocoElement[] = [];
        for (const place of image.annotations) annotations.push(await read(place));
        yield readCocoImage(await read(image), annotations, names, file);
      }
      yield* bad;
    },
    fingerprint: () => fileStamp([path]),
  };
}

async function buildIndex(path: string, file: string, signal: AbortSignal | undefined): Promise<Index> {
  const categories: CocoElement[] = [];
  const images: (Place & { id: unknown; annotations: Place[] })[] = [];
  const byId = new Map<unknown, Place[]>();
  const annotations: { place: Place; image: unknown }[] = [];
  const bad: Reading[] = [];
  const refuse = (
    element: JsonElement,
    code: "json/syntax" | "image/duplicate" | "annotation/image" | "field/missing",
    message: string,
  ): void => {
    bad.push({ bad: badRecord({ file, line: element.line }, [{ code, message }], element.text) });
  };
  for await (const element of readJsonElements(path, new Set(["images", "annotations", "categories"]), signal)) {
    const { key, text, start, end, line } = element;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      refuse(element, "json/syntax", `the element of ${key} is no JSON: ${(error as Error).message}`);
      continue;
    }
    const place = { start, end, line };
    const fields = (typeof value === "object" && value !== null ? value : {}) as { id?: unknown; image_id?: unknown };
    if (key === "categories") categories.push({ value, line });
    else if (key === "annotations") annotations.push({ place, image: fields.image_id });
    else if (fields.id === undefined) refuse(element, "field/missing", "the image has no id");
    else if (byId.has(fields.id)) refuse(element, "image/duplicate", `another image has the id ${shown(fields.id)}`);
    else {
      const mine: Place[] = [];
      byId.set(fields.id, mine);
      images.push({ ...place, id: fields.id, annotations: mine });
    }
  }
  for (const { place, image } of annotations) {
    const mine = byId.get(image);
    if (mine) mine.push(place);
    else
      bad.push({
        bad: badRecord(
          { file, line: place.line },
          [
            {
              code: "annotation/image",
              message: `the annotation has the image_id ${shown(image)}, which is no image's`,
            },
          ],
          "",
        ),
      });
  }
  for (const problem of readCocoCategories(categories).problems) {
    bad.push({
      bad: badRecord({ file, line: problem.line ?? 1 }, [{ code: problem.code, message: problem.message }], ""),
    });
  }
  return { categories, images, bad };
}
