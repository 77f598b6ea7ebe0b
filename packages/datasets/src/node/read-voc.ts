import { join, relative, sep } from "node:path";
import { badRecord } from "../problems.ts";
import type { Reading } from "../record.ts";
import { readVoc, type VocOptions } from "../voc.ts";
import type { Dataset } from "./dataset.ts";
import { fileStamp, isFile, listFiles, readSmallFile } from "./files.ts";

/**
 * A folder of Pascal VOC files, one picture each. Pictures lie beside them, or in `JPEGImages` or `images` beside their
 * folder; `annotations` is the folder of the XML files below `folder`.
 */
export function vocDataset(
  folder: string,
  annotations: string,
  images: string | undefined,
  options: VocOptions,
): Dataset {
  const files = (): Promise<readonly string[]> => listFiles(join(folder, annotations), [".xml"]);
  const places = images === undefined ? [annotations, "JPEGImages", "images", "."] : [relative(folder, images)];
  const records = async function* (signal?: AbortSignal): AsyncGenerator<Reading, void, undefined> {
    for (const name of await files()) {
      signal?.throwIfAborted();
      const file = join(annotations, name).split(sep).join("/");
      let text: string;
      try {
        text = await readSmallFile(join(folder, annotations, name));
      } catch (error) {
        yield { bad: badRecord({ file, line: 1 }, [{ code: "xml/syntax", message: (error as Error).message }], "") };
        continue;
      }
      const reading = readVoc(text, file, options);
      yield "bad" in reading
        ? reading
        : { record: { ...reading.record, image: await place(folder, places, reading.record.image) } };
    }
  };
  return {
    format: "voc",
    path: folder,
    images: folder,
    count: async () => (await files()).length,
    async classes(signal) {
      const names = new Set<string>();
      for await (const reading of records(signal)) {
        if ("record" in reading && reading.record.content.kind === "objects")
          for (const { label } of reading.record.content.objects) names.add(label);
      }
      return [...names];
    },
    records,
    fingerprint: async () => fileStamp((await files()).map((name) => join(folder, annotations, name))),
  };
}

/** The picture's path below the folder: in the first place where it is, or would be first. */
async function place(folder: string, places: readonly string[], image: string): Promise<string> {
  const paths = places.map((at) => join(at, image).split(sep).join("/"));
  for (const path of paths) if (await isFile(join(folder, path))) return path;
  return paths[0]!;
}
