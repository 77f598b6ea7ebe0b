import { PaliGemmaError } from "@paligemma/core";
import { RESAMPLE_CODES, type Resample } from "./kernels.ts";

/** How an image becomes numbers; the names of `preprocessor_config.json` in camelCase. */
export interface PreprocessorConfig {
  /** Placeholder tokens that one image takes in the text. */
  readonly imageSeqLength: number;
  readonly doConvertRgb: boolean;
  readonly doResize: boolean;
  readonly size: { readonly height: number; readonly width: number };
  readonly resample: Resample;
  readonly doRescale: boolean;
  readonly rescaleFactor: number;
  readonly doNormalize: boolean;
  readonly imageMean: readonly number[];
  readonly imageStd: readonly number[];
}

/** The longest edge to resize to: 896 is the largest released, and one image of this edge takes 805 MB of float32. */
export const MAX_SIZE = 8192;

/** The most placeholder tokens of one image: (MAX_SIZE / 14)², rounded up. */
export const MAX_IMAGE_SEQ_LENGTH = 345_744;

/** What may differ from the configuration in one call; `undefined` keeps the configuration's value. */
export type ImageOptions = {
  readonly [K in keyof Omit<PreprocessorConfig, "imageSeqLength">]?: PreprocessorConfig[K] | undefined;
};

/** Names of `ImageOptions`. */
export const IMAGE_OPTIONS: readonly (keyof ImageOptions)[] = [
  "doConvertRgb",
  "doResize",
  "size",
  "resample",
  "doRescale",
  "rescaleFactor",
  "doNormalize",
  "imageMean",
  "imageStd",
];

/**
 * The configuration in `preprocessor_config.json`, or in `processor_config.json` of transformers 5 (under
 * `image_processor`). Absent and `null` fields take the defaults of `SiglipImageProcessor`; other fields are not looked
 * at, except those that would change the numbers. Throws `processor/config` naming the field.
 */
export function parsePreprocessorConfig(json: unknown, imageSeqLength?: number): PreprocessorConfig {
  if (!isRecord(json))
    throw new PaliGemmaError(
      "processor/config",
      `preprocessor_config.json must hold an object, this is ${json === null ? "null" : typeof json}`,
    );
  const inner = json["image_processor"];
  const fields = isRecord(inner) ? { ...json, ...inner } : json;
  const source: Source = { code: "processor/config", where: "preprocessor_config.json", spell: snakeCase };
  for (const key of ["do_center_crop", "do_pad", "do_flip_channel_order", "do_reduce_labels"]) {
    if (fields[key])
      throw fieldError(source, key, fields[key], "false: this processing is not PaliGemma's and is not done here");
  }
  const camel: Record<string, unknown> = { imageSeqLength: imageSeqLength ?? fields["image_seq_length"] };
  for (const key of IMAGE_OPTIONS) camel[key] = fields[snakeCase(key)];
  return checked(camel, source);
}

/** The configuration with the options of one call; throws `processor/option` naming the option. */
export function withImageOptions(config: PreprocessorConfig, options: ImageOptions): PreprocessorConfig {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  if (given.length === 0) return config;
  return checked(
    { ...config, ...Object.fromEntries(given) },
    { code: "processor/option", where: "the options", spell: (key) => key },
  );
}

function checked(fields: Record<string, unknown>, source: Source): PreprocessorConfig {
  const config: PreprocessorConfig = {
    imageSeqLength: whole(source, "imageSeqLength", fields["imageSeqLength"], MAX_IMAGE_SEQ_LENGTH),
    doConvertRgb: flag(source, "doConvertRgb", fields["doConvertRgb"]),
    doResize: flag(source, "doResize", fields["doResize"]),
    size: size(source, fields["size"]),
    resample: resample(source, fields["resample"]),
    doRescale: flag(source, "doRescale", fields["doRescale"]),
    rescaleFactor: finite(source, "rescaleFactor", fields["rescaleFactor"] ?? 1 / 255),
    doNormalize: flag(source, "doNormalize", fields["doNormalize"]),
    imageMean: numbers(source, "imageMean", fields["imageMean"]),
    imageStd: numbers(source, "imageStd", fields["imageStd"]),
  };
  if (config.imageStd.includes(0)) throw fieldError(source, "imageStd", fields["imageStd"], "numbers other than 0");
  return config;
}

/** The contents of `preprocessor_config.json` (for transformers 4 and 5) of a configuration. */
export function preprocessorConfigToJson(config: PreprocessorConfig): Readonly<Record<string, unknown>> {
  return {
    do_convert_rgb: config.doConvertRgb,
    do_normalize: config.doNormalize,
    do_rescale: config.doRescale,
    do_resize: config.doResize,
    image_mean: config.imageMean,
    image_processor_type: "SiglipImageProcessor",
    image_seq_length: config.imageSeqLength,
    image_std: config.imageStd,
    processor_class: "PaliGemmaProcessor",
    resample: RESAMPLE_CODES.indexOf(config.resample),
    rescale_factor: config.rescaleFactor,
    size: { height: config.size.height, width: config.size.width },
  };
}

/** The contents of `processor_config.json` as transformers 5 writes it: the image part inside. */
export function processorConfigToJson(config: PreprocessorConfig): Readonly<Record<string, unknown>> {
  const { processor_class, ...image } = preprocessorConfigToJson(config);
  return { image_processor: image, processor_class };
}

/** Where fields come from, for the error. */
interface Source {
  readonly code: "processor/config" | "processor/option";
  readonly where: string;
  readonly spell: (key: string) => string;
}

function flag(source: Source, key: string, value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (typeof value !== "boolean") throw fieldError(source, key, value, "true, false or null");
  return value;
}

function size(source: Source, value: unknown): PreprocessorConfig["size"] {
  if (value === undefined || value === null) return { height: 224, width: 224 };
  if (!isRecord(value)) throw fieldError(source, "size", value, "{ height, width }");
  return {
    height: whole(source, "size.height", value["height"], MAX_SIZE),
    width: whole(source, "size.width", value["width"], MAX_SIZE),
  };
}

function resample(source: Source, value: unknown): Resample {
  const name = value === undefined || value === null ? "bicubic" : (RESAMPLE_CODES[value as number] ?? value);
  if (!RESAMPLE_CODES.includes(name as Resample))
    throw fieldError(source, "resample", value, `0 to 5 (${RESAMPLE_CODES.join(", ")})`);
  return name as Resample;
}

function numbers(source: Source, key: string, value: unknown): readonly number[] {
  if (value === undefined || value === null) return [0.5, 0.5, 0.5];
  if (typeof value === "number") return [finite(source, key, value)];
  if (!Array.isArray(value) || (value.length !== 1 && value.length !== 3))
    throw fieldError(source, key, value, "a number, or one number per channel");
  return value.map((item) => finite(source, key, item));
}

function finite(source: Source, key: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw fieldError(source, key, value, "a finite number");
  return value;
}

function whole(source: Source, key: string, value: unknown, most: number): number {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > most)
    throw fieldError(source, key, value, `a whole number from 1 to ${most}`);
  return value as number;
}

function fieldError(source: Source, key: string, value: unknown, allowed: string): PaliGemmaError {
  return new PaliGemmaError(
    source.code,
    `${source.spell(key)} of ${source.where} is ${value === undefined ? "missing" : JSON.stringify(value)}; it must be ${allowed}`,
  );
}

function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
