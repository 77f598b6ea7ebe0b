/** Data read from a document: text, numbers, lists, objects. */
export type FieldValue =
  | string
  | number
  | boolean
  | null
  | readonly FieldValue[]
  | { readonly [key: string]: FieldValue };

/** Agreement of fields. */
export interface FieldScores {
  /** Harmonic mean of precision and recall, 0 to 1; 1 for nothing against nothing. */
  readonly f1: number;
  readonly precision: number;
  readonly recall: number;
  /** Fields that are in both. */
  readonly correct: number;
  readonly predicted: number;
  readonly wanted: number;
}

/**
 * F1 over all fields of all documents, as Donut's evaluation counts them: a field is a path of keys (positions in lists do
 * not count) with its trimmed text, and must be equal to one field of the truth that no other field was matched with.
 * Source: `JSONParseEvaluator.cal_f1` of https://github.com/clovaai/donut.
 */
export function fieldF1(
  documents: readonly { readonly prediction: FieldValue; readonly truth: FieldValue }[],
): FieldScores {
  let [correct, predicted, wanted] = [0, 0, 0];
  for (const { prediction, truth } of documents) {
    const open = new Map<string, number>();
    for (const field of fieldsOf(truth)) {
      open.set(field, (open.get(field) ?? 0) + 1);
      wanted++;
    }
    for (const field of fieldsOf(prediction)) {
      predicted++;
      const left = open.get(field) ?? 0;
      if (left === 0) continue;
      open.set(field, left - 1);
      correct++;
    }
  }
  const missed = predicted - correct + (wanted - correct);
  return {
    f1: correct + missed === 0 ? 1 : correct / (correct + missed / 2),
    precision: predicted === 0 ? 1 : correct / predicted,
    recall: wanted === 0 ? 1 : correct / wanted,
    correct,
    predicted,
    wanted,
  };
}

/** Every leaf as one text: its keys, then its value. What is empty vanishes, and so does a number 0 outside a list, as in Donut. */
function fieldsOf(value: FieldValue, path: readonly string[] = []): string[] {
  if (isList(value)) {
    if (value.every(isObject)) return value.flatMap((item) => fieldsOf(item, path));
    // Beside text and numbers, Donut counts nothing else in a list.
    const texts = value.flatMap((item) =>
      typeof item === "string" || typeof item === "number" ? [String(item).trim()] : [],
    );
    return texts.filter((text) => text !== "").map((text) => JSON.stringify([path, text]));
  }
  if (isObject(value)) return Object.entries(value).flatMap(([key, item]) => fieldsOf(item, [...path, key]));
  return value ? [JSON.stringify([path, String(value).trim()])] : [];
}

function isList(value: FieldValue): value is readonly FieldValue[] {
  return Array.isArray(value);
}

function isObject(value: FieldValue): value is { readonly [key: string]: FieldValue } {
  return typeof value === "object" && value !== null && !isList(value);
}
