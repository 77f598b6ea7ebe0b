import { PaliGemmaError, unknownKeys } from "@paligemma/core";
import { IMAGE_OPTIONS, type ImageOptions } from "./preprocessor-config.ts";

/** How texts of unequal length become one array. */
export interface TextOptions {
  /** `"longest"` (or `true`, the default) pads to the longest row, `"maxLength"` to `maxLength`; `false` allows equal rows only. */
  readonly padding?: boolean | "longest" | "maxLength" | undefined;
  /** Where pads stand; `"left"` when absent, as in the released tokenizers. */
  readonly paddingSide?: "left" | "right" | undefined;
  /** Padded lengths are multiples of it. */
  readonly padToMultipleOf?: number | undefined;
  /** The most tokens of a row, image tokens and suffix included. A longer row is an error unless `truncation` shortens it. */
  readonly maxLength?: number | undefined;
  /** `"onlySecond"` cuts the suffix, `"longestFirst"` (or `true`) the longer of prompt and suffix. Cutting a prompt is an error: its image tokens or its newline would go. */
  readonly truncation?: boolean | "longestFirst" | "onlyFirst" | "onlySecond" | undefined;
  /** Encodes the final newline apart from the prompt, as the original release does; Hugging Face encodes them together (`false`, the default). Differs only where a prompt ends in a newline. */
  readonly newlineSeparately?: boolean | undefined;
}

/** Everything that one call of `process` can say; anything else is an error. */
export interface ProcessOptions extends TextOptions, ImageOptions {
  /** Stops between images. */
  readonly signal?: AbortSignal | undefined;
}

/** Text options with nothing left open. */
export interface TextSettings {
  readonly padding: false | "longest" | "maxLength";
  readonly paddingSide: "left" | "right";
  readonly padToMultipleOf: number;
  readonly maxLength: number | undefined;
  readonly truncation: false | "longestFirst" | "onlyFirst" | "onlySecond";
  readonly newlineSeparately: boolean;
}

/** The most tokens of a row: sixteen times the longest released context. */
export const MAX_LENGTH = 131_072;

const TEXT_OPTIONS: readonly (keyof TextOptions)[] = [
  "padding",
  "paddingSide",
  "padToMultipleOf",
  "maxLength",
  "truncation",
  "newlineSeparately",
];

// Options of the Hugging Face processor that have no place here, and what to do instead.
const ELSEWHERE: Readonly<Record<string, string>> = {
  addSpecialTokens: "the processor itself writes <bos> and <eos>; it has no effect on Hugging Face's either",
  returnTensors: "arrays are always returned",
  returnAttentionMask: "attentionMask is always returned",
  returnTokenTypeIds: "tokenTypeIds are always returned",
  returnLength: "the second number of inputIds.shape",
  returnMmTokenTypeIds: "compare inputIds with tokenizer.special.image",
  dataFormat: "pixelValues are always [images, channels, height, width]",
  inputDataFormat: "images are always [height, width, channels]",
  textKwargs: "options are flat",
  imagesKwargs: "options are flat",
  commonKwargs: "options are flat",
  suffix: "suffix is a field of each example",
};

/** Splits and checks the options of a call; throws `processor/option`. */
export function readOptions(options: ProcessOptions): { readonly text: TextSettings; readonly image: ImageOptions } {
  refuseUnknown(options, "process", [...TEXT_OPTIONS, ...IMAGE_OPTIONS, "signal"]);
  const image: Record<string, unknown> = {};
  for (const key of IMAGE_OPTIONS) if (options[key] !== undefined) image[key] = options[key];
  return { text: textSettings(options), image };
}

/** Checks the options of a call without images; throws `processor/option`. */
export function readTextOptions(options: TextOptions): TextSettings {
  refuseUnknown(options, "processTexts", TEXT_OPTIONS);
  return textSettings(options);
}

function refuseUnknown(options: object, where: string, known: readonly string[]): void {
  const names = unknownKeys(options, known).map(({ key, meant }) => {
    const instead = Object.hasOwn(ELSEWHERE, key) ? ELSEWHERE[key] : meant && `did you mean ${meant}?`;
    return instead ? `${key} (${instead})` : key;
  });
  if (names.length === 0) return;
  throw new PaliGemmaError(
    "processor/option",
    `${where} has no option ${names.join(", ")}; it has ${known.join(", ")}`,
  );
}

function textSettings(options: TextOptions): TextSettings {
  const padding = choice<NonNullable<TextOptions["padding"]>>("padding", options.padding ?? true, [
    true,
    false,
    "longest",
    "maxLength",
  ]);
  const truncation = choice<NonNullable<TextOptions["truncation"]>>("truncation", options.truncation ?? false, [
    true,
    false,
    "longestFirst",
    "onlyFirst",
    "onlySecond",
  ]);
  const settings: TextSettings = {
    padding: padding === true ? "longest" : padding,
    paddingSide: choice("paddingSide", options.paddingSide ?? "left", ["left", "right"]),
    padToMultipleOf: count("padToMultipleOf", options.padToMultipleOf) ?? 1,
    maxLength: count("maxLength", options.maxLength),
    truncation: truncation === true ? "longestFirst" : truncation,
    newlineSeparately: choice("newlineSeparately", options.newlineSeparately ?? false, [true, false]),
  };
  const { maxLength, padToMultipleOf } = settings;
  if (maxLength === undefined && settings.padding === "maxLength")
    contradiction('padding: "maxLength" needs maxLength');
  if (maxLength === undefined && settings.truncation !== false) contradiction("truncation needs maxLength");
  if (settings.padding === false && padToMultipleOf > 1) contradiction("padToMultipleOf needs padding");
  if (maxLength !== undefined && settings.truncation !== false && maxLength % padToMultipleOf !== 0) {
    contradiction(`maxLength ${maxLength} is no multiple of padToMultipleOf ${padToMultipleOf}`);
  }
  return settings;
}

function choice<T>(name: string, value: T, allowed: readonly T[]): T {
  if (!allowed.includes(value))
    throw new PaliGemmaError(
      "processor/option",
      `${name} is ${JSON.stringify(value)}; it must be one of ${allowed.map((item) => JSON.stringify(item)).join(", ")}`,
    );
  return value;
}

function count(name: string, value: number | undefined): number | undefined {
  if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= MAX_LENGTH)) {
    throw new PaliGemmaError(
      "processor/option",
      `${name} is ${String(value)}; it must be a whole number from 1 to ${MAX_LENGTH}`,
    );
  }
  return value;
}

function contradiction(text: string): never {
  throw new PaliGemmaError("processor/option", text);
}
