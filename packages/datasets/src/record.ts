import type { CompressedRle, Rle } from "@paligemma/masks";
import type { Box, ImageSize } from "@paligemma/parsers";
import type { BadRecord, Origin } from "./problems.ts";

/** The outline of an object: closed lines of x, y as fractions of the picture, or run lengths of the whole picture. */
export type Outline = { readonly polygons: readonly (readonly number[])[] } | { readonly rle: Rle | CompressedRle };

/** One thing in a picture. */
export interface TrainingObject {
  readonly label: string;
  /** Corners as fractions of the picture. */
  readonly box: Box;
  readonly outline?: Outline | undefined;
  /** Line of the annotation, where it has one of its own. */
  readonly line?: number | undefined;
}

/** Values that JSON can hold. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** One picture and what is to be learned from it, as a dataset says it. */
export interface TrainingRecord {
  readonly origin: Origin;
  /** Path of the picture below the dataset's folder of images, parted by `/`. */
  readonly image: string;
  /** Pixels of the picture, where the dataset says them. */
  readonly size?: ImageSize | undefined;
  readonly content: TextContent | ObjectContent;
}

/** Ready texts; an answer that is no text is written as tags or JSON. */
export interface TextContent {
  readonly kind: "text";
  readonly prompt: string;
  readonly answer: JsonValue;
}

/** Things in the picture, from which prompt and answer are written. */
export interface ObjectContent {
  readonly kind: "objects";
  readonly objects: readonly TrainingObject[];
}

/** What a reader gives for each record: the record, or why it is none. */
export type Reading = { readonly record: TrainingRecord } | { readonly bad: BadRecord };
