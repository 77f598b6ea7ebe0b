import { PaliGemmaError } from "@paligemma/core";
import { writeExample, type ExampleOptions, type JsonValue, type TrainingRecord } from "@paligemma/datasets";
import type { ImageSize } from "@paligemma/parsers";
import type { Metric } from "./answers.ts";
import type { Truth } from "./judge.ts";

/** What to ask about a record, and what to compare the answer with. */
export interface Question extends Pick<Truth, "metric" | "expected" | "objects"> {
  readonly task: string;
  readonly prompt: string;
  /** The prompts to ask: the one, or one per class, whose answers are joined. */
  readonly asks: readonly string[];
}

/** How records become questions. */
export interface QuestionOptions {
  readonly examples: ExampleOptions;
  /** Instead of the one that the task suggests. */
  readonly metric?: Metric | undefined;
  /** Ask for one class of objects at a time. */
  readonly eachClass?: boolean | undefined;
}

type Problems = { readonly problems: readonly { readonly code: string; readonly message: string }[] };

/** People's answers that VQA accuracy compares with. */
const VQA_ANSWERS = 10;

/** The question of a record, or why there is none. Throws `cli/metric` for a metric that cannot be had of this dataset. */
export function questionOf(record: TrainingRecord, size: ImageSize, options: QuestionOptions): Question | Problems {
  const { content } = record;
  const task = content.kind === "objects" ? (options.examples.task ?? "detect") : taskOf(content.prompt);
  const question =
    content.kind === "text" ? ofTexts(content, record, size, task, options) : ofObjects(record, size, options);
  if ("problems" in question) return question;
  const metric = options.metric ?? suggested(task, question.expected, content.kind === "objects");
  checkMetric(metric, question, record);
  const { prompt } = question;
  return { ...question, task, metric, asks: options.eachClass ? eachClass(prompt) : [prompt] };
}

type Texts = Pick<Question, "prompt" | "expected" | "objects">;

function ofTexts(
  { prompt, answer }: { readonly prompt: string; readonly answer: JsonValue },
  record: TrainingRecord,
  size: ImageSize,
  task: string,
  { examples }: QuestionOptions,
): Texts | Problems {
  // Several right answers; none of them is written for a model to learn.
  if (Array.isArray(answer) && answer.length > 0 && answer.every((one) => typeof one === "string"))
    return { prompt, expected: answer };
  if (typeof answer === "object" && answer !== null) return { prompt, expected: [answer] };
  const written = writeExample(record, examples, size);
  if ("problems" in written) {
    // An empty answer is a mistake to learn from, but not to compare with: nothing is there.
    const other = written.problems.filter(({ code }) => code !== "answer/empty");
    if (other.length > 0 || typeof answer !== "string") return written;
    return task === "detect" || task === "segment" ? { prompt, expected: [answer] } : written;
  }
  return { prompt: written.prompt, expected: [written.answer] };
}

function ofObjects(record: TrainingRecord, size: ImageSize, { examples }: QuestionOptions): Texts | Problems {
  const { objects } = record.content as Extract<TrainingRecord["content"], { kind: "objects" }>;
  const written = writeExample(record, { ...examples, task: "detect", encodeMasks: undefined }, size);
  if ("problems" in written) return written;
  if (examples.task !== "segment") return { prompt: written.prompt, expected: [written.answer], objects };
  const bare = objects.find(({ outline }) => outline === undefined);
  if (bare)
    return { problems: [{ code: "mask/missing", message: `${bare.label} has no outline; segment compares masks` }] };
  return { prompt: written.prompt.replace(/^detect/, "segment"), expected: [written.answer], objects };
}

/** The kind of a prompt: its first word, where that is one of PaliGemma's. */
function taskOf(prompt: string): string {
  const [word = ""] = prompt.trim().split(/\s/, 1);
  if (["cap", "caption", "describe"].includes(word)) return "caption";
  return ["detect", "segment", "ocr", "answer"].includes(word) ? word : "question";
}

function suggested(task: string, expected: readonly JsonValue[], hasObjects: boolean): Metric {
  if (task === "detect") return "boxes";
  if (task === "segment") return "masks";
  if (hasObjects) return "boxes";
  if (task === "caption") return "cider";
  const [first] = expected;
  if (typeof first !== "string" || first.startsWith("<s_")) return "fields";
  if (task === "ocr") return "edit";
  return expected.length >= VQA_ANSWERS ? "vqa" : "exact";
}

function checkMetric(metric: Metric, { objects, expected }: Texts, { origin }: TrainingRecord): void {
  const where = `${origin.file}:${origin.line}`;
  if (objects && metric !== "boxes" && metric !== "masks")
    throw new PaliGemmaError(
      "cli/metric",
      `${where} has objects, and --metric ${metric} compares texts; leave --metric out, or use boxes or masks`,
    );
  if (metric === "masks" && objects?.some(({ outline }) => outline === undefined))
    throw new PaliGemmaError("cli/metric", `${where} has objects without outlines; use --metric boxes`);
  if (metric === "vqa" && expected.length !== VQA_ANSWERS)
    throw new PaliGemmaError(
      "cli/metric",
      `${where} has ${expected.length} right answers, VQA accuracy compares with ${VQA_ANSWERS}; use --metric exact`,
    );
}

/** "detect cat ; dog" as "detect cat" and "detect dog"; other prompts as they are. */
function eachClass(prompt: string): readonly string[] {
  const [, verb, classes] = /^(detect|segment) (.*)$/su.exec(prompt) ?? [];
  return verb === undefined ? [prompt] : classes!.split(" ; ").map((name) => `${verb} ${name}`);
}
