import { isPaliGemmaError, PaliGemmaError, unknownKeys } from "@paligemma/core";
import { maskBox, type Mask } from "@paligemma/masks";
import {
  formatDetections,
  formatTags,
  parseDetections,
  type Box,
  type Detection,
  type ImageSize,
  type TagValue,
} from "@paligemma/parsers";
import { checkObjects, checkPixelBox } from "./check-objects.ts";
import { checkTexts, parseObjectPrompt } from "./check-text.ts";
import { shown, type Problem } from "./problems.ts";
import { outlineMask } from "./outline.ts";
import type { JsonValue, ObjectContent, TextContent, TrainingObject, TrainingRecord } from "./record.ts";
import { seededRandom, shuffled } from "./seeded.ts";

/** Gives objects the 16 codes of their masks, such as `(objects) => encodeSegments(codec, objects)` of `@paligemma/masks`. */
export type EncodeMasks = (
  objects: readonly { readonly label: string; readonly mask: Mask; readonly box: Box }[],
) => readonly Detection[];

/** How records become texts. */
export interface ExampleOptions {
  /** What to write for pictures with objects; `"detect"` when absent. `"segment"` needs `encodeMasks`. */
  readonly task?: "detect" | "segment" | undefined;
  /** All classes of the dataset, in its order; labels outside it are mistakes. */
  readonly classes?: readonly string[] | undefined;
  /** Which classes stand in a written prompt: `"all"` (default), or those `"present"` in the picture, all where it shows none. */
  readonly classList?: "all" | "present" | undefined;
  /** Order of the classes in the prompt; `"given"` when absent. */
  readonly classOrder?: "given" | "random" | undefined;
  /** Order of the objects in the answer; `"given"` when absent. */
  readonly objectOrder?: "given" | "random" | undefined;
  /** Decides what is random, for each record by itself; 0 when absent. */
  readonly seed?: number | undefined;
  /** How an answer that is no text is written: in tags (Donut's) or as JSON. Absent: such an answer is a mistake. */
  readonly json?: "tags" | "json" | undefined;
  readonly encodeMasks?: EncodeMasks | undefined;
  /** The most tokens of an answer, its `<eos>` included; needs `countTokens`. */
  readonly maxAnswerTokens?: number | undefined;
  readonly countTokens?: ((text: string) => number) | undefined;
}

/** A prompt and the answer to learn, ready for `process({ image, prompt, suffix })`. */
export interface WrittenExample {
  readonly prompt: string;
  readonly answer: string;
}

/** Names of `ExampleOptions`. */
export const EXAMPLE_OPTIONS: readonly (keyof ExampleOptions)[] = [
  "task",
  "classes",
  "classList",
  "classOrder",
  "objectOrder",
  "seed",
  "json",
  "encodeMasks",
  "maxAnswerTokens",
  "countTokens",
];

/** Throws `datasets/option` for options that do not exist or contradict each other. */
export function checkExampleOptions(options: ExampleOptions): void {
  const unknown = unknownKeys(options, EXAMPLE_OPTIONS);
  if (unknown.length > 0)
    throw new PaliGemmaError(
      "datasets/option",
      `there is no option ${unknown.map(({ key }) => key).join(", ")}; there are ${EXAMPLE_OPTIONS.join(", ")}`,
    );
  const choices = [
    ["task", ["detect", "segment"]],
    ["classList", ["all", "present"]],
    ["classOrder", ["given", "random"]],
    ["objectOrder", ["given", "random"]],
    ["json", ["tags", "json"]],
  ] as const;
  for (const [name, allowed] of choices) {
    const value = options[name];
    if (value !== undefined && !(allowed as readonly string[]).includes(value))
      throw new PaliGemmaError("datasets/option", `${name} is ${shown(value)}; it must be ${allowed.join(" or ")}`);
  }
  if (options.task === "segment" && !options.encodeMasks)
    throw new PaliGemmaError(
      "datasets/option",
      'task: "segment" needs encodeMasks, which gives masks their codes (encodeSegments of @paligemma/masks)',
    );
  if (options.maxAnswerTokens !== undefined && !options.countTokens)
    throw new PaliGemmaError(
      "datasets/option",
      "maxAnswerTokens needs countTokens, such as (text) => tokenizer.encode(text).length",
    );
}

/**
 * The texts of a record, or everything that is wrong with it. `size` are the pixels of the picture, where the record does
 * not say them; masks need them. Nothing is repaired.
 */
export function writeExample(
  record: TrainingRecord,
  options: ExampleOptions = {},
  size: ImageSize | undefined = record.size,
): WrittenExample | { readonly problems: readonly Problem[] } {
  checkExampleOptions(options);
  const random = seededRandom(options.seed ?? 0, `${record.image}\n${record.origin.file}\n${record.origin.line}`);
  const { content } = record;
  const problems: Problem[] = [];
  const written =
    content.kind === "text"
      ? writeTexts(content, options, random, problems)
      : writeObjects(content, options, size, random, problems);
  if (problems.length === 0 && written && options.maxAnswerTokens !== undefined) {
    const tokens = (options.countTokens?.(written.answer) ?? 0) + 1;
    if (tokens > options.maxAnswerTokens)
      problems.push({
        code: "answer/too-long",
        message: `the answer has ${tokens} tokens with its <eos>, allowed are ${options.maxAnswerTokens}`,
      });
  }
  return problems.length > 0 || !written ? { problems } : written;
}

function writeTexts(
  content: TextContent,
  options: ExampleOptions,
  random: () => number,
  problems: Problem[],
): WrittenExample | undefined {
  const answer = answerText(content.answer, options.json, problems);
  if (answer === undefined) return undefined;
  problems.push(...checkTexts(content.prompt, answer, options.classes));
  const objects = parseObjectPrompt(content.prompt);
  if (!objects || problems.length > 0) return { prompt: content.prompt, answer };
  const classes = options.classOrder === "random" ? shuffled(objects.classes, random) : undefined;
  const before = content.prompt.slice(0, content.prompt.indexOf(objects.verb));
  return {
    prompt: classes ? `${before}${objects.verb} ${classes.join(" ; ")}` : content.prompt,
    answer:
      options.objectOrder === "random" ? formatDetections(shuffled(parseDetections(answer).items, random)) : answer,
  };
}

function answerText(answer: JsonValue, json: ExampleOptions["json"], problems: Problem[]): string | undefined {
  if (typeof answer === "string") return answer;
  if (json === "json" && typeof answer === "object" && answer !== null) return JSON.stringify(answer);
  if (json === "tags" && typeof answer === "object" && answer !== null) {
    try {
      return formatTags(toTagValue(answer));
    } catch (error) {
      if (!isPaliGemmaError(error)) throw error;
      problems.push({
        code: "answer/json",
        message: `the answer ${shown(answer)} cannot be written in tags: ${error.message}`,
      });
      return undefined;
    }
  }
  problems.push(
    typeof answer === "object" && answer !== null
      ? {
          code: "answer/json",
          message: `the answer is ${shown(answer)}; say json: "tags" or "json" to have it written`,
        }
      : { code: "field/type", message: `the answer is ${shown(answer)}; it must be a text` },
  );
  return undefined;
}

/** Tags hold text only: numbers and the like become what JSON calls them. */
function toTagValue(value: JsonValue): TagValue {
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return (value as readonly JsonValue[]).map(toTagValue);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toTagValue(item)]));
}

function writeObjects(
  { objects }: ObjectContent,
  options: ExampleOptions,
  size: ImageSize | undefined,
  random: () => number,
  problems: Problem[],
): WrittenExample | undefined {
  const { task = "detect", classes, classList = "all" } = options;
  problems.push(...checkObjects(objects, classes));
  for (const { box, line } of objects) {
    const pixels = {
      yMin: box.yMin * (size?.height ?? 1000),
      xMin: box.xMin * (size?.width ?? 1000),
      yMax: box.yMax * (size?.height ?? 1000),
      xMax: box.xMax * (size?.width ?? 1000),
    };
    problems.push(
      ...checkPixelBox(pixels, size ?? { width: 1000, height: 1000 }).map((problem) =>
        line === undefined ? problem : { ...problem, line },
      ),
    );
  }
  const present = new Set(objects.map(({ label }) => label));
  const named =
    classList === "present" && present.size > 0
      ? (classes ?? [...present]).filter((name) => present.has(name))
      : (classes ?? [...present]);
  if (named.length === 0)
    problems.push({
      code: "label/empty",
      message:
        "the picture shows no objects and the dataset names no classes, so there is nothing to ask for; give classes",
    });
  if (problems.length > 0) return undefined;
  const ordered = options.objectOrder === "random" ? shuffled(objects, random) : objects;
  const detections = task === "detect" ? ordered : encode(ordered, options.encodeMasks!, size, problems);
  if (!detections) return undefined;
  const asked = options.classOrder === "random" ? shuffled(named, random) : named;
  return {
    prompt: `${task} ${asked.join(" ; ")}`,
    answer: formatDetections(
      detections.map(({ label, box, codes }: Detection) => ({ label, box, ...(codes && { codes }) })),
    ),
  };
}

function encode(
  objects: readonly TrainingObject[],
  encodeMasks: EncodeMasks,
  size: ImageSize | undefined,
  problems: Problem[],
): readonly Detection[] | undefined {
  if (objects.length === 0) return [];
  const masked = objects.map((object) => ({
    label: object.label,
    box: object.box,
    mask: maskOf(object, size, problems),
  }));
  if (problems.length > 0) return undefined;
  try {
    return encodeMasks(masked as { label: string; box: Box; mask: Mask }[]);
  } catch (error) {
    if (!isPaliGemmaError(error)) throw error;
    problems.push({ code: "mask/broken", message: error.message });
    return undefined;
  }
}

function maskOf(
  { label, outline, line }: TrainingObject,
  size: ImageSize | undefined,
  problems: Problem[],
): Mask | undefined {
  const at = line === undefined ? {} : { line };
  if (!outline || !size) {
    problems.push({
      code: "mask/missing",
      message: `${shown(label)} has no ${outline ? "picture whose size is known" : "outline"}; segment needs the mask of every object`,
      ...at,
    });
    return undefined;
  }
  try {
    const mask = outlineMask(outline, size);
    if (mask.width !== size.width || mask.height !== size.height)
      problems.push({
        code: "mask/broken",
        message: `the mask of ${shown(label)} is ${mask.width} × ${mask.height}, the picture ${size.width} × ${size.height}`,
        ...at,
      });
    else if (!maskBox(mask))
      problems.push({ code: "mask/empty", message: `the mask of ${shown(label)} covers no pixel`, ...at });
    return mask;
  } catch (error) {
    if (!isPaliGemmaError(error)) throw error;
    problems.push({ code: "mask/broken", message: `the mask of ${shown(label)}: ${error.message}`, ...at });
    return undefined;
  }
}
