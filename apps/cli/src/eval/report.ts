import type { JsonValue } from "@paligemma/datasets";
import { captionWords, cider, cocoScores, type CocoImage } from "@paligemma/metrics";
import { isValidBox, parseDetections, toPixels, type ImageSize } from "@paligemma/parsers";
import { METRIC_NAMES, textOf, type AnsweredLine, type Line, type Metric, type Thing } from "./answers.ts";

/** The results of one task under one metric. */
export interface TaskReport {
  readonly task: string;
  readonly metric: Metric;
  readonly records: number;
  /** The number that the metric is known by; null where nothing can be said. */
  readonly value: number | null;
  /** The number and others beside it, by name. */
  readonly values: Readonly<Record<string, number>>;
}

/** An answer among the worst. */
export interface WorstCase {
  readonly record: number;
  readonly image: string;
  readonly prompt: string;
  readonly expected: readonly JsonValue[];
  readonly answer: string;
  readonly score: number;
}

/** All that an evaluation found. */
export interface Report {
  readonly records: number;
  readonly answered: number;
  readonly bad: number;
  /** Kinds of mistakes among the bad ones, and how many there are. */
  readonly problems: Readonly<Record<string, number>>;
  readonly tasks: readonly TaskReport[];
  readonly worst: readonly WorstCase[];
}

/** Scored answers: with `cider`, whose scores need all of them. */
type Scored = AnsweredLine & { readonly score: number };

/** The report of the answers, with the `count` worst of them. */
export function reportOf(lines: readonly Line[], count: number): Report {
  const answered = lines.filter((line) => "answer" in line);
  const groups = groupBy(answered);
  const problems = new Map<string, number>();
  for (const line of lines)
    if ("bad" in line) for (const { code } of line.bad) problems.set(code, (problems.get(code) ?? 0) + 1);
  const scored = [...groups.values()].map((group) =>
    group[0]!.metric === "cider" ? withCider(group) : (group as Scored[]),
  );
  return {
    records: lines.length,
    answered: answered.length,
    bad: lines.length - answered.length,
    problems: Object.fromEntries([...problems].toSorted(([, a], [, b]) => b - a)),
    tasks: scored.map(taskReport),
    worst: worstOf(scored.flat(), count),
  };
}

function groupBy(lines: readonly AnsweredLine[]): ReadonlyMap<string, AnsweredLine[]> {
  const groups = new Map<string, AnsweredLine[]>();
  for (const line of lines) {
    const key = `${line.task} ${line.metric}`;
    const group = groups.get(key);
    if (group) group.push(line);
    else groups.set(key, [line]);
  }
  return groups;
}

/** Lines of one picture are one image with several references, as the official evaluation has it. */
function withCider(lines: readonly AnsweredLine[]): Scored[] {
  const images = new Map<string, AnsweredLine[]>();
  for (const line of lines) {
    const key = `${line.image}\n${line.prompt}`;
    const known = images.get(key);
    if (known) known.push(line);
    else images.set(key, [line]);
  }
  const examples = [...images.values()].map((same) => ({
    prediction: captionWords(same[0]!.answer),
    references: same.flatMap(({ expected }) => expected.map((text) => captionWords(textOf(text)))),
  }));
  const { scores } = cider(examples);
  return [...images.values()].flatMap((same, i) => same.map((line) => ({ ...line, score: scores[i]! / 10 })));
}

function taskReport(lines: readonly Scored[]): TaskReport {
  const { task, metric } = lines[0]!;
  const values = valuesOf(metric, lines);
  const [value] = Object.values(values);
  return { task, metric, records: lines.length, value: value ?? null, values };
}

/** The metric's own number first. */
function valuesOf(metric: Metric, lines: readonly Scored[]): Readonly<Record<string, number>> {
  const score = mean(lines.map((line) => line.score));
  const name = METRIC_NAMES[metric];
  if (metric === "boxes") return { ...averagePrecision(lines), "box IoU": score };
  if (metric === "masks") {
    const ious = lines.flatMap((line) => Object.values(line.ious ?? {}));
    return { ...(ious.length > 0 && { [name]: mean(ious) }), "with nothing": score };
  }
  const equal = mean(lines.map(({ answer, expected }) => Number(expected.some((text) => text === answer))));
  if (metric === "exact" || metric === "fields") return { [name]: score };
  if (metric === "cider") {
    // Lines of one picture count once.
    const images = new Map(lines.map((line) => [`${line.image}\n${line.prompt}`, line.score]));
    return { [name]: mean([...images.values()]) * 10, "equal answers": equal };
  }
  return { [name]: score, "equal answers": equal };
}

/** Boxes have no scores: they rank by their order in the answer. */
function averagePrecision(lines: readonly Scored[]): Readonly<Record<string, number>> {
  const inPixels = (
    { label, box }: Thing,
    size: ImageSize,
  ): { category: string; bbox: [number, number, number, number] } => {
    const { xMin, yMin, xMax, yMax } = toPixels(box, size);
    return { category: label, bbox: [xMin, yMin, xMax - xMin, yMax - yMin] };
  };
  const images: CocoImage[] = lines.map(({ answer, things = [], size = { width: 1, height: 1 } }) => ({
    truths: things.filter(({ box }) => isValidBox(box)).map((thing) => inPixels(thing, size)),
    detections: parseDetections(answer)
      .items.filter(({ box }) => isValidBox(box))
      .map((item) => ({ ...inPixels(item, size), score: 1 })),
  }));
  const { ap50, ap, ap75, ar100 } = cocoScores(images);
  const named = { [METRIC_NAMES.boxes]: ap50, "AP 0.5–0.95": ap, "AP at IoU 0.75": ap75, AR: ar100 };
  return Object.fromEntries(Object.entries(named).filter((entry): entry is [string, number] => entry[1] !== undefined));
}

/** The lowest scores of answers that are not right, one of each picture and prompt; of equal ones the first in the dataset. */
function worstOf(lines: readonly Scored[], count: number): readonly WorstCase[] {
  const seen = new Set<string>();
  return lines
    .filter(({ score, expected, answer }) => score < 1 && !expected.includes(answer))
    .toSorted((a, b) => a.score - b.score || a.record - b.record)
    .filter(({ image, prompt }) => !seen.has(`${image}\n${prompt}`) && seen.add(`${image}\n${prompt}`))
    .slice(0, count)
    .map(({ record, image, prompt, expected, answer, score }) => ({ record, image, prompt, expected, answer, score }));
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((a, b) => a + b, 0) / values.length;
}

/** The report as lines for people. */
export function reportTable({ records, answered, bad, problems, tasks }: Report): readonly string[] {
  const head = ["task", "records", "metric", "value", "also"];
  const rows = tasks.map(({ task, metric, records: count, value, values }) => {
    const others = Object.entries(values).slice(1);
    return [
      task,
      String(count),
      METRIC_NAMES[metric],
      value === null ? "–" : value.toFixed(3),
      others.map(([name, number]) => `${name} ${number.toFixed(3)}`).join(", "),
    ];
  });
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i === 1 || i === 3 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd();
  const kinds = Object.entries(problems).map(([code, count]) => `${code} × ${count}`);
  return [
    line(head),
    ...rows.map(line),
    `${answered} of ${records} records answered${bad > 0 ? `; ${bad} bad: ${kinds.join(", ")}` : ""}`,
  ];
}
