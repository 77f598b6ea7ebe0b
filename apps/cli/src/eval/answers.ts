import type { Origin, JsonValue } from "@paligemma/datasets";
import type { Box } from "@paligemma/parsers";

/** How answers are compared with the truth. */
export const METRICS = ["exact", "vqa", "anls", "relaxed", "cider", "edit", "fields", "boxes", "masks"] as const;
export type Metric = (typeof METRICS)[number];

/** What a metric is called in reports. */
export const METRIC_NAMES: Readonly<Record<Metric, string>> = {
  exact: "equal answers",
  vqa: "VQA accuracy",
  anls: "ANLS",
  relaxed: "relaxed accuracy",
  cider: "CIDEr-D",
  edit: "1 − edit distance",
  fields: "field F1",
  boxes: "AP at IoU 0.5",
  masks: "mask mIoU",
};

/** Something that is in a picture, or was found there. */
export interface Thing {
  readonly label: string;
  readonly box: Box;
}

/** A record that was answered: one line of `answers.jsonl`. */
export interface AnsweredLine {
  /** Its place in the dataset, from 0. */
  readonly record: number;
  readonly origin: Origin;
  readonly image: string;
  readonly task: string;
  readonly metric: Metric;
  readonly prompt: string;
  /** Answers that are right, as the dataset has them. */
  readonly expected: readonly JsonValue[];
  readonly answer: string;
  /** How well this one did alone, 0 to 1: what the worst are chosen by. Absent for `cider`, which needs all of them. */
  readonly score?: number;
  /** With boxes or masks: what is there, and the picture in pixels. */
  readonly things?: readonly Thing[];
  readonly size?: { readonly width: number; readonly height: number };
  /** With masks: overlap of all that a label covers, by label. */
  readonly ious?: Readonly<Record<string, number>>;
}

/** A record that could not be asked: another line of it. */
export interface BadLine {
  readonly record: number;
  readonly origin: Origin;
  readonly bad: readonly { readonly code: string; readonly message: string }[];
}

export type Line = AnsweredLine | BadLine;

/** An expected answer as a text: data as JSON. */
export function textOf(value: JsonValue): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
