import { fromPixels, type ImageSize } from "@paligemma/parsers";
import { SaxesParser } from "saxes";
import { checkPixelBox } from "./check-objects.ts";
import { checkImagePath } from "./fields.ts";
import { badRecord, shown, type Problem } from "./problems.ts";
import type { Reading, TrainingObject } from "./record.ts";

/** How Pascal VOC files count pixels. */
export interface VocOptions {
  /** 1 (default): from 1, the last pixel included, as in the VOC development kit. 0: corners from 0, as some tools write. */
  readonly firstPixel?: 0 | 1 | undefined;
}

interface Element {
  readonly texts: Map<string, { readonly text: string; readonly line: number }>;
  readonly line: number;
}

/** The record of a Pascal VOC file, one picture each. Mistakes name their line. */
export function readVoc(text: string, file: string, { firstPixel = 1 }: VocOptions = {}): Reading {
  const problems: Problem[] = [];
  const { root, objects } = parseAnnotation(text, problems);
  const value = (name: string): string => root.texts.get(name)?.text ?? "";
  const size: ImageSize = { width: Number(value("size/width")), height: Number(value("size/height")) };
  if (problems.length === 0) {
    const missing = ["filename", "size/width", "size/height"].filter((name) => value(name) === "");
    if (missing.length > 0) problems.push({ code: "field/missing", message: `there is no ${missing.join(", no ")}` });
    else if (![size.width, size.height].every((edge) => Number.isInteger(edge) && edge > 0)) {
      problems.push({
        code: "image/size",
        message: `the size is ${shown(value("size/width"))} × ${shown(value("size/height"))}; whole numbers from 1 are needed`,
        line: root.texts.get("size/width")!.line,
      });
    }
  }
  const image = value("filename") === "" ? "" : checkImagePath(value("filename"), problems);
  const read = problems.length > 0 ? [] : objects.flatMap((object) => readObject(object, size, firstPixel, problems));
  const origin = { file, line: 1 };
  if (problems.length > 0) return { bad: badRecord(origin, problems, text) };
  return { record: { origin, image, size, content: { kind: "objects", objects: read } } };
}

function readObject(
  { texts, line }: Element,
  size: ImageSize,
  firstPixel: 0 | 1,
  problems: Problem[],
): TrainingObject[] {
  const names = ["name", "bndbox/ymin", "bndbox/xmin", "bndbox/ymax", "bndbox/xmax"];
  const missing = names.filter((name) => !texts.has(name));
  if (missing.length > 0) {
    problems.push({ code: "field/missing", message: `an object has no ${missing.join(", no ")}`, line });
    return [];
  }
  const [yMin, xMin, yMax, xMax] = names
    .slice(1)
    .map((name) => (texts.get(name)!.text === "" ? Number.NaN : Number(texts.get(name)!.text))) as [
    number,
    number,
    number,
    number,
  ];
  // Pixels counted from 1, the last included: the first pixel lies from 0 to 1.
  const box = { yMin: yMin - firstPixel, xMin: xMin - firstPixel, yMax, xMax };
  const wrong = checkPixelBox(box, size);
  problems.push(...wrong.map((problem) => ({ ...problem, line })));
  return wrong.length > 0 ? [] : [{ label: texts.get("name")!.text, box: fromPixels(box, size), line }];
}

/** Texts of the annotation and of its objects, by path; deeper and other elements are left alone. */
function parseAnnotation(
  text: string,
  problems: Problem[],
): { readonly root: Element; readonly objects: readonly Element[] } {
  const root: Element = { texts: new Map(), line: 1 };
  const objects: Element[] = [];
  const path: string[] = [];
  let current = "";
  let line = 1;
  const parser = new SaxesParser();
  parser.on("opentag", ({ name }) => {
    path.push(name);
    current = "";
    line = parser.line;
    if (path.length === 2 && name === "object") objects.push({ texts: new Map(), line });
  });
  parser.on("text", (piece) => (current += piece));
  parser.on("cdata", (piece) => (current += piece));
  parser.on("closetag", () => {
    const inObject = path[1] === "object";
    const key = path.slice(inObject ? 2 : 1).join("/");
    const target = inObject ? objects.at(-1)! : root;
    if (key !== "" && !target.texts.has(key)) target.texts.set(key, { text: current.trim(), line });
    path.pop();
    current = "";
  });
  try {
    parser.on("error", (error) => {
      throw error;
    });
    parser.write(text).close();
    if (!/<annotation[\s>]/.test(text))
      problems.push({ code: "xml/syntax", message: "the root of the file is no <annotation>" });
  } catch (error) {
    problems.push({
      code: "xml/syntax",
      message: `the file is no XML: ${(error as Error).message}`,
      line: parser.line,
    });
  }
  return { root, objects };
}
