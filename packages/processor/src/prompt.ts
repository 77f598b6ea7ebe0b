import { PaliGemmaError } from "@paligemma/core";
import type { Tokenizer } from "./tokenizer.ts";

/** Stands in a prompt where an image goes; prompts without it get their images in front. */
export const IMAGE_MARKER = "<image>";

/** One row before padding: the part that all of it sees, and the part that is learned. */
export interface Row {
  /** Image tokens, `<bos>`, prompt, newline. */
  readonly prompt: readonly number[];
  /** Suffix and `<eos>`; absent without a suffix. */
  readonly suffix: readonly number[] | undefined;
}

/** What a row is built from. */
export interface RowSource {
  readonly prompt: string;
  readonly suffix: string | undefined;
  readonly images: number;
}

/**
 * The ids of one example: `<image>` × (sequence length · images), `<bos>`, prompt, newline. Where the prompt holds
 * `<image>` markers, the image tokens stand in their places and `<bos>` after the last. `name` is for errors.
 */
export function buildRow(
  source: RowSource,
  tokenizer: Tokenizer,
  imageSeqLength: number,
  newlineSeparately: boolean,
  name: string,
): Row {
  const { prompt, suffix, images } = source;
  const { bos, eos, image, newline } = tokenizer.special;
  const pieces = prompt.split(IMAGE_MARKER);
  const markers = pieces.length - 1;
  if (markers > 0 && markers !== images) {
    throw new PaliGemmaError(
      "processor/images",
      `${name} has ${markers} ${IMAGE_MARKER} in its prompt and ${images} images; write one marker per image, or none to have the images in front`,
    );
  }
  const last = pieces.pop()!;
  const ids: number[] = [];
  const addImage = (): void => {
    for (let i = 0; i < imageSeqLength; i++) ids.push(image);
  };
  if (markers === 0) for (let i = 0; i < images; i++) addImage();
  for (const piece of pieces) {
    append(ids, tokenizer.encode(piece));
    addImage();
  }
  ids.push(bos);
  append(ids, tokenizer.encode(newlineSeparately ? last : `${last}\n`));
  if (newlineSeparately) ids.push(newline);
  return { prompt: ids, suffix: suffix === undefined ? undefined : encodeSuffix(suffix, tokenizer, eos, name) };
}

function encodeSuffix(suffix: string, tokenizer: Tokenizer, eos: number, name: string): readonly number[] {
  if (suffix.includes(IMAGE_MARKER))
    throw new PaliGemmaError(
      "processor/suffix",
      `${name} has ${IMAGE_MARKER} in its suffix; images belong into the prompt`,
    );
  return [...tokenizer.encode(suffix), eos];
}

function append(ids: number[], more: readonly number[]): void {
  for (const id of more) ids.push(id);
}
