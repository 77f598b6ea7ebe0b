import { ndArray, PaliGemmaError, type NdArray } from "@paligemma/core";
import type { TextSettings } from "./options.ts";
import type { Row } from "./prompt.ts";

/** Arrays of the text part, each int64 [batch, tokens]. */
export interface TextArrays {
  readonly inputIds: NdArray<"int64">;
  readonly attentionMask: NdArray<"int64">;
  readonly tokenTypeIds: NdArray<"int64">;
  readonly labels?: NdArray<"int64">;
}

/** Label of a token that is not learned. */
export const IGNORED_LABEL = -100;

/** Rows as arrays: cut to `maxLength`, padded; type 1 and labels for suffixes, type 0 and label −100 elsewhere. */
export function collate(rows: readonly Row[], settings: TextSettings, pad: number): TextArrays {
  const withSuffix = rows.filter(({ suffix }) => suffix !== undefined).length;
  if (withSuffix !== 0 && withSuffix !== rows.length) {
    throw new PaliGemmaError(
      "processor/suffix",
      `${withSuffix} of ${rows.length} examples have a suffix; give one to all (an empty one teaches to stop at once) or to none`,
    );
  }
  const cut = rows.map((row, index) => truncate(row, settings, `example ${index}`));
  const tokens = paddedLength(cut.map(lengthOf), settings);
  const arrays = Array.from({ length: 4 }, () => new BigInt64Array(rows.length * tokens)) as [
    BigInt64Array,
    BigInt64Array,
    BigInt64Array,
    BigInt64Array,
  ];
  const [ids, mask, types, labels] = arrays;
  ids.fill(BigInt(pad));
  labels.fill(BigInt(IGNORED_LABEL));
  cut.forEach((row, index) => {
    let at = index * tokens + (settings.paddingSide === "left" ? tokens - lengthOf(row) : 0);
    for (const id of row.prompt) {
      ids[at] = BigInt(id);
      mask[at++] = 1n;
    }
    for (const id of row.suffix ?? []) {
      ids[at] = BigInt(id);
      labels[at] = BigInt(id);
      types[at] = 1n;
      mask[at++] = 1n;
    }
  });
  const shape = [rows.length, tokens];
  return {
    inputIds: ndArray("int64", shape, ids),
    attentionMask: ndArray("int64", shape, mask),
    tokenTypeIds: ndArray("int64", shape, types),
    ...(withSuffix > 0 ? { labels: ndArray("int64", shape, labels) } : {}),
  };
}

/** The row within `maxLength`; only suffixes are cut, from the right, by the rules of Hugging Face's tokenizers. */
function truncate(row: Row, { maxLength, truncation }: TextSettings, name: string): Row {
  const length = lengthOf(row);
  if (maxLength === undefined || length <= maxLength) return row;
  const suffix = row.suffix?.length ?? 0;
  const parts = `${name} has ${length} tokens (prompt with its image tokens ${row.prompt.length}, suffix ${suffix}), maxLength is ${maxLength}`;
  if (truncation === false) {
    throw new PaliGemmaError(
      "processor/truncation",
      `${parts}. Raise maxLength, shorten the text, or let truncation: "onlySecond" cut the suffix.`,
    );
  }
  const kept =
    truncation === "onlySecond"
      ? maxLength - row.prompt.length
      : truncation === "onlyFirst"
        ? suffix
        : keptOfSecond(row.prompt.length, suffix, maxLength);
  if (row.suffix === undefined || kept < 1 || row.prompt.length + kept > maxLength) {
    throw new PaliGemmaError(
      "processor/truncation",
      `${parts}. truncation: ${JSON.stringify(truncation)} would cut the image tokens or the newline of the prompt; raise maxLength or shorten the prompt.`,
    );
  }
  return { prompt: row.prompt, suffix: row.suffix.slice(0, kept) };
}

/** How much of the second sequence `longest_first` keeps (tokenizers, `utils/truncation.rs`). */
function keptOfSecond(first: number, second: number, maxLength: number): number {
  const shorter = Math.min(first, second);
  let longer = shorter > maxLength ? shorter : Math.max(shorter, maxLength - shorter);
  let short = shorter;
  if (shorter + longer > maxLength) {
    short = Math.floor(maxLength / 2);
    longer = short + (maxLength % 2);
  }
  return first > second ? short : longer;
}

function paddedLength(lengths: readonly number[], { padding, maxLength, padToMultipleOf }: TextSettings): number {
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
  if (padding === false) {
    const other = lengths.findIndex((length) => length !== longest);
    if (other >= 0)
      throw new PaliGemmaError(
        "processor/padding",
        `example ${other} has ${lengths[other]} tokens, the longest has ${longest}; with padding: false all must be equal. Leave padding on, or process them one by one.`,
      );
    return longest;
  }
  const target = padding === "maxLength" ? maxLength! : longest;
  return Math.ceil(target / padToMultipleOf) * padToMultipleOf;
}

function lengthOf(row: Row): number {
  return row.prompt.length + (row.suffix?.length ?? 0);
}
