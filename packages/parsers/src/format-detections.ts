import type { Detection } from "./detections.ts";
import { PaliGemmaError, refuseUnknownOptions } from "./errors.ts";
import { lexText } from "./lexer.ts";
import {
  PALIGEMMA_IDS,
  SEGS_PER_MASK,
  SEG_COUNT,
  coordinateToBin,
  locToken,
  segToken,
  type BinDivisor,
  type MarkupIds,
} from "./markup.ts";

/** How to write boxes. */
export interface FormatDetectionOptions {
  /** The same divisor as in `parseDetections`. Default 1023. */
  readonly binDivisor?: BinDivisor;
}

/** How to write boxes as token ids. */
export interface FormatDetectionIdsOptions extends FormatDetectionOptions {
  /** Ids of ordinary text, without special tokens. */
  readonly encode: (text: string) => readonly number[];
  /** Where the markup lies in the vocabulary. Default: `PALIGEMMA_IDS`. */
  readonly markup?: MarkupIds;
}

const SEPARATOR = " ; ";

/**
 * The answer that means these detections, such as a training suffix: `<loc…>×4[<seg…>×16] label`, joined by ` ; `.
 * `parseDetections` gives them back, each coordinate rounded to its bin. Coordinates outside the image are clipped.
 * Throws `parsers/label`, `parsers/codes` or `parsers/box` for what the format cannot write.
 */
export function formatDetections(detections: readonly Detection[], options: FormatDetectionOptions = {}): string {
  refuseUnknownOptions(options, ["binDivisor"]);
  return detections
    .map((detection) => markupOf(detection, options.binDivisor).map(textOf).join("") + tail(detection))
    .join(SEPARATOR);
}

/** The same answer as token ids; text between the markup is encoded piece by piece, as the model writes it. */
export function formatDetectionIds(detections: readonly Detection[], options: FormatDetectionIdsOptions): number[] {
  refuseUnknownOptions(options, ["binDivisor", "encode", "markup"]);
  const { loc, seg } = options.markup ?? PALIGEMMA_IDS;
  return detections.flatMap((detection, i) => {
    const marks = markupOf(detection, options.binDivisor).map((mark) => (mark.kind === "loc" ? loc : seg) + mark.value);
    const text = tail(detection) + (i < detections.length - 1 ? SEPARATOR : "");
    return text === "" ? marks : [...marks, ...options.encode(text)];
  });
}

type Mark = { readonly kind: "loc" | "seg"; readonly value: number };

function textOf(mark: Mark): string {
  return mark.kind === "loc" ? locToken(mark.value) : segToken(mark.value);
}

function markupOf({ box, codes = [] }: Detection, divisor: BinDivisor | undefined): Mark[] {
  if (codes.length !== 0 && codes.length !== SEGS_PER_MASK) {
    throw new PaliGemmaError("parsers/codes", `${codes.length} mask codes, an object has ${SEGS_PER_MASK} or none`);
  }
  const wrong = codes.find((code) => !Number.isInteger(code) || code < 0 || code >= SEG_COUNT);
  if (wrong !== undefined)
    throw new PaliGemmaError("parsers/codes", `mask code ${wrong} is no whole number from 0 to ${SEG_COUNT - 1}`);
  return [
    ...[box.yMin, box.xMin, box.yMax, box.xMax].map((v): Mark => ({ kind: "loc", value: coordinateToBin(v, divisor) })),
    ...codes.map((value): Mark => ({ kind: "seg", value })),
  ];
}

function tail({ label }: Detection): string {
  return label === "" ? "" : ` ${writableLabel(label)}`;
}

/** The label itself, if the answer format can hold it; throws `parsers/label` otherwise. */
export function writableLabel(label: string): string {
  const pieces = lexText(label);
  if (label === "" || (label === label.trim() && pieces.length === 1 && pieces[0]!.kind === "text")) return label;
  throw new PaliGemmaError(
    "parsers/label",
    `the label ${JSON.stringify(label)} cannot be written: labels hold no ";", no line break, no <loc>, <seg> or special token, ` +
      `and no space at their ends. Rename the class or replace these characters`,
  );
}
