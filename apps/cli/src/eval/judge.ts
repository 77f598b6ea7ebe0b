import type { JsonValue, TrainingObject } from "@paligemma/datasets";
import { outlineMask } from "@paligemma/datasets";
import { decodeSegments, emptyMask, maskIou, unionByLabel, type Mask, type MaskCodec } from "@paligemma/masks";
import {
  anls,
  fieldF1,
  normalisedEditDistance,
  relaxedMatch,
  simpleVqaAccuracy,
  vqaAccuracy,
  type FieldValue,
} from "@paligemma/metrics";
import { boxIou, parseDetections, parseJson, parseTags, type Detection, type ImageSize } from "@paligemma/parsers";
import { textOf, type AnsweredLine, type Metric, type Thing } from "./answers.ts";

/** What an answer is held against. */
export interface Truth {
  readonly metric: Metric;
  /** Answers that are right. */
  readonly expected: readonly JsonValue[];
  /** With boxes and masks: objects of the dataset; absent where the expected answer is a text with boxes. */
  readonly objects?: readonly TrainingObject[];
  readonly size: ImageSize;
  readonly codec?: MaskCodec | undefined;
}

type Judged = Pick<AnsweredLine, "score" | "things" | "size" | "ious">;

/** How one answer did. */
export function judge(answer: string, truth: Truth): Judged {
  const texts = truth.expected.map(textOf);
  switch (truth.metric) {
    case "cider":
      return {};
    case "exact":
      return { score: simpleVqaAccuracy(answer, texts, { lowerCase: true }).any };
    case "vqa":
      return { score: vqaAccuracy(answer, texts) };
    case "anls":
      return { score: anls(answer, texts, { lowerCase: true }) };
    case "relaxed":
      return { score: best(texts.map((text) => Number(relaxedMatch(answer, text, { lowerCase: true })))) };
    case "edit":
      return { score: best(texts.map((text) => 1 - normalisedEditDistance(answer, text))) };
    case "fields":
      return { score: fieldF1([{ prediction: fieldsOf(answer), truth: fieldsOf(truth.expected[0]!) }]).f1 };
    case "boxes":
      return judgeBoxes(answer, truth);
    case "masks":
      return judgeMasks(answer, truth);
  }
}

/** The data in an answer: JSON, or Donut's tags, or else the text itself. */
export function fieldsOf(value: JsonValue): FieldValue {
  if (typeof value !== "string") return value;
  const json = parseJson(value);
  if (json.value !== undefined && typeof json.value === "object") return json.value;
  return /<s_\w+>/.test(value) ? (parseTags(value).value as FieldValue) : value;
}

/** What is there: the dataset's objects, or those that the expected text names. */
function thingsOf({ objects, expected }: Truth): readonly (Thing & Pick<Detection, "codes">)[] {
  if (objects) return objects.map(({ label, box }) => ({ label, box }));
  return parseDetections(textOf(expected[0] ?? "")).items;
}

function judgeBoxes(answer: string, truth: Truth): Judged {
  const there = thingsOf(truth).map(({ label, box }) => ({ label, box }));
  const found = parseDetections(answer).items;
  // The best pairs of one label first; whatever is left over on either side counts as 0.
  const pairs = there
    .flatMap((thing, i) =>
      found.map((item, k) => ({ i, k, iou: item.label === thing.label ? boxIou(item.box, thing.box) : 0 })),
    )
    .toSorted((a, b) => b.iou - a.iou);
  const [used, taken] = [new Set<number>(), new Set<number>()];
  let sum = 0;
  for (const { i, k, iou } of pairs) {
    if (used.has(i) || taken.has(k)) continue;
    used.add(i);
    taken.add(k);
    sum += iou;
  }
  const most = Math.max(there.length, found.length);
  return { score: most === 0 ? 1 : sum / most, things: there, size: truth.size };
}

function judgeMasks(answer: string, truth: Truth): Judged {
  const { objects, size, codec } = truth;
  const things = thingsOf(truth);
  const decoded = (items: readonly (Thing & Pick<Detection, "codes">)[]): readonly { label: string; mask: Mask }[] =>
    decodeSegments(
      codec!,
      items.flatMap(({ label, box, codes }) => (codes ? [{ label, box, codes }] : [])),
      size,
    );
  const there = objects
    ? objects.map(({ label, outline }) => ({ label, mask: outlineMask(outline!, size) }))
    : decoded(things);
  const [expected, found] = [unionByLabel(there), unionByLabel(decoded(parseDetections(answer).items))];
  const nothing = emptyMask(size.width, size.height);
  const labels = [...new Set([...expected.keys(), ...found.keys()])];
  const ious = Object.fromEntries(
    labels.map((label) => [label, maskIou(expected.get(label) ?? nothing, found.get(label) ?? nothing)]),
  );
  const score = labels.length === 0 ? 1 : Object.values(ious).reduce((a, b) => a + b, 0) / labels.length;
  return { score, things: things.map(({ label, box }) => ({ label, box })), size, ious };
}

function best(scores: readonly number[]): number {
  return scores.reduce((a, b) => Math.max(a, b), 0);
}
