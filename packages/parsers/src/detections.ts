import { toPixels, type Box, type ImageSize } from "./boxes.ts";
import { refuseUnknownOptions } from "./errors.ts";
import { readObjects, type LabelSide, type RawObject, type Reading } from "./grammar.ts";
import { lexIds, lexText, type Span } from "./lexer.ts";
import { PALIGEMMA_IDS, binToCoordinate, type BinDivisor, type MarkupIds } from "./markup.ts";

/** One object of an answer. */
export interface Detection {
  /** Trimmed text beside the box; empty where the model wrote none (RefCOCO checkpoints never do). */
  readonly label: string;
  /** Corners as fractions of the image, 0 to 1. May be inside out: see `isValidBox`. */
  readonly box: Box;
  /** The 16 mask codes of a `segment` answer, 0 to 127, row by row; absent where there are none. */
  readonly codes?: readonly number[];
  /** Confidence, 0 to 1. The text holds none: parsers never set it, callers who know the token probabilities may. */
  readonly score?: number;
}

/** A detection that was read from an answer. */
export interface ParsedDetection extends Detection {
  /** The box in pixels of the image, not rounded; present when the image size was given. */
  readonly pixels?: Box;
  /** Where it stood: characters of the text, or positions in the ids; includes the separator beside it. */
  readonly span: Span;
}

/** What an answer holds. Nothing of it is lost: the items' spans and `restSpans` cover the input together. */
export interface ParsedDetections {
  /** Complete objects in the order of the answer, repeats included (see `dropRepeats`). */
  readonly items: readonly ParsedDetection[];
  /** Text that belongs to no object, its pieces trimmed and joined by newlines; empty when all was understood. */
  readonly rest: string;
  /** Where the pieces of `rest` stood. */
  readonly restSpans: readonly Span[];
  /**
   * True where the answer stops inside an object: fewer than 4 `<loc>` or 16 `<seg>` tokens at the very end (that part is
   * in `rest`), or a last box without the label that the boxes before it have (that box is in `items`).
   */
  readonly truncated: boolean;
}

/** How to read boxes. */
export interface ParseDetectionOptions {
  /** 1023 (default) inverts the published encoder exactly; 1024 agrees with most notebooks and demos. */
  readonly binDivisor?: BinDivisor;
  /** Side of the box on which labels stand. Default `auto`: after it, or before it where text opens and a box ends the line. */
  readonly labelSide?: LabelSide;
}

/** How to read boxes from token ids. */
export interface ParseDetectionIdsOptions extends ParseDetectionOptions {
  /** Text of ordinary token ids, for labels. Without it labels are empty; boxes and codes are read all the same. */
  readonly decode?: (ids: number[]) => string;
  /** Where the markup lies in the vocabulary. Default: `PALIGEMMA_IDS`; other tokenizers: `markupIds`. */
  readonly markup?: MarkupIds;
}

/**
 * The objects in a `detect` or `segment` answer. Never throws for any text: what cannot be read comes back in `rest`.
 * Throws `parsers/option` or `parsers/image` only for impossible arguments.
 */
export function parseDetections(
  text: string,
  image?: ImageSize,
  options: ParseDetectionOptions = {},
): ParsedDetections {
  refuseUnknownOptions(options, ["binDivisor", "labelSide"]);
  return toDetections(readObjects(lexText(text), options.labelSide ?? "auto"), image, options.binDivisor);
}

/**
 * The objects in generated token ids: immune to a tokenizer's whitespace, and to labels that spell out a location in
 * letters. Spans count ids. Never throws for any ids, unless `decode` does.
 */
export function parseDetectionIds(
  ids: ArrayLike<number>,
  image?: ImageSize,
  options: ParseDetectionIdsOptions = {},
): ParsedDetections {
  refuseUnknownOptions(options, ["binDivisor", "labelSide", "decode", "markup"]);
  const pieces = lexIds(ids, options.markup ?? PALIGEMMA_IDS, options.decode);
  return toDetections(readObjects(pieces, options.labelSide ?? "auto"), image, options.binDivisor);
}

/** An object with a mask. */
export interface ParsedSegment extends ParsedDetection {
  readonly codes: readonly number[];
}

/** What a `segment` answer holds; see `ParsedDetections`. Boxes without a whole mask are in `rest`. */
export interface ParsedSegments extends ParsedDetections {
  readonly items: readonly ParsedSegment[];
}

/** The objects with masks in a `segment` answer. Never throws for any text: boxes without a mask come back in `rest`. */
export function parseSegments(text: string, image?: ImageSize, options: ParseDetectionOptions = {}): ParsedSegments {
  refuseUnknownOptions(options, ["binDivisor", "labelSide"]);
  const reading = readObjects(lexText(text), options.labelSide ?? "auto", true);
  return toDetections(reading, image, options.binDivisor) as ParsedSegments;
}

/** The objects with masks in generated token ids; see `parseDetectionIds`. */
export function parseSegmentIds(
  ids: ArrayLike<number>,
  image?: ImageSize,
  options: ParseDetectionIdsOptions = {},
): ParsedSegments {
  refuseUnknownOptions(options, ["binDivisor", "labelSide", "decode", "markup"]);
  const pieces = lexIds(ids, options.markup ?? PALIGEMMA_IDS, options.decode);
  return toDetections(
    readObjects(pieces, options.labelSide ?? "auto", true),
    image,
    options.binDivisor,
  ) as ParsedSegments;
}

function toDetections(reading: Reading, image: ImageSize | undefined, divisor: BinDivisor = 1023): ParsedDetections {
  return {
    items: reading.objects.map((object) => toDetection(object, image, divisor)),
    rest: reading.rest
      .map((piece) => piece.text.trim())
      .filter((text) => text !== "")
      .join("\n"),
    restSpans: reading.rest.map(({ start, end }) => ({ start, end })),
    truncated: reading.truncated,
  };
}

function toDetection(object: RawObject, image: ImageSize | undefined, divisor: BinDivisor): ParsedDetection {
  const [yMin = 0, xMin = 0, yMax = 0, xMax = 0] = object.bins.map((bin) => binToCoordinate(bin, divisor));
  const box = { yMin, xMin, yMax, xMax };
  return {
    label: object.label,
    box,
    ...(object.codes && { codes: object.codes }),
    ...(image && { pixels: toPixels(box, image) }),
    span: object.span,
  };
}
