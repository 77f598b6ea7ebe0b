import { PaliGemmaError, unknownKeys, type NdArray } from "@paligemma/core";
import { collate, type TextArrays } from "./collate.ts";
import { checkImage, type ImageLike } from "./image.ts";
import { readOptions, readTextOptions, type ProcessOptions, type TextOptions, type TextSettings } from "./options.ts";
import { preprocessImages } from "./pixels.ts";
import {
  parsePreprocessorConfig,
  preprocessorConfigToJson,
  processorConfigToJson,
  type PreprocessorConfig,
} from "./preprocessor-config.ts";
import { buildRow, type RowSource } from "./prompt.ts";
import { createTokenizer, type DecodeOptions, type Tokenizer } from "./tokenizer.ts";
import type { TokenizerFiles } from "./tokenizer-files.ts";

/** One question, or one example to learn from. `Source` is what `decodeImage` of the processor reads besides raw pixels. */
export interface Example<Source = never> {
  /** The picture; shorthand for `images` with one. */
  readonly image?: ImageLike | Source | undefined;
  /** Any number of pictures, in the order of the `<image>` markers in the prompt. */
  readonly images?: readonly (ImageLike | Source)[] | undefined;
  /** The task, such as `"caption en"`; `""` (and absent) asks for a caption without saying so. */
  readonly prompt?: string | undefined;
  /** The answer to learn. `<eos>` is added to it. */
  readonly suffix?: string | undefined;
}

/** An example whose pictures are prepared elsewhere, by an image pool for instance. */
export interface TextExample {
  /** How many pictures it has. */
  readonly images: number;
  readonly prompt?: string | undefined;
  readonly suffix?: string | undefined;
}

/** What the networks take; the int64 arrays are [batch, tokens]. */
export interface ModelInputs {
  /** float32 [images, 3, height, width]: the images of all rows, in order. */
  readonly pixelValues: NdArray<"float32">;
  readonly inputIds: NdArray<"int64">;
  /** 1 for tokens, 0 for pads. */
  readonly attentionMask: NdArray<"int64">;
  /** 1 for suffix and `<eos>`, 0 for prompt and pads. */
  readonly tokenTypeIds: NdArray<"int64">;
  /** The ids of the suffix, −100 elsewhere; present only where suffixes were given. */
  readonly labels?: NdArray<"int64">;
  /** How many images each row has. */
  readonly imagesPerRow: readonly number[];
}

/** Turns images and texts into model inputs, and ids into text. Holds nothing that needs disposing. */
export interface Processor<Source = never> {
  readonly config: PreprocessorConfig;
  readonly tokenizer: Tokenizer;
  /** One row per example; row i does not depend on the others, except for its pads. */
  process(example: Example<Source> | readonly Example<Source>[], options?: ProcessOptions): Promise<ModelInputs>;
  /** The text part of `process` alone. */
  processTexts(text: TextExample | readonly TextExample[], options?: TextOptions): TextArrays;
  /** Text of one row of ids. */
  decode(ids: Iterable<number | bigint>, options?: DecodeOptions): string;
  /** Text of every row. */
  batchDecode(rows: Iterable<Iterable<number | bigint>>, options?: DecodeOptions): string[];
  /** Contents of the files that this processor can be created from again. */
  toJSON(): {
    readonly preprocessorConfig: Readonly<Record<string, unknown>>;
    readonly processorConfig: Readonly<Record<string, unknown>>;
  };
}

/** What a processor is made of: the parsed files of a checkpoint. */
export interface ProcessorOptions<Source = never> {
  /** Parsed `tokenizer.json` and `tokenizer_config.json`, or a tokenizer made before. */
  readonly tokenizer: TokenizerFiles | Tokenizer;
  /** Parsed `preprocessor_config.json` or `processor_config.json`. */
  readonly preprocessor: unknown;
  /** Image tokens per image, where the file does not say it: (image size / patch size)². */
  readonly imageSeqLength?: number | undefined;
  /** Reads what is not raw pixels yet, such as `decodeImage` of `@paligemma/processor/node`. */
  readonly decodeImage?: ((source: Source) => Promise<ImageLike>) | undefined;
}

/** The most examples of one call; larger sets belong into several calls. */
export const MAX_BATCH = 4096;

/** A processor of the files of a checkpoint. Throws `processor/tokenizer-missing`, `processor/tokenizer` or `processor/config`. */
export function createProcessor<Source = never>(options: ProcessorOptions<Source>): Processor<Source> {
  const unknown = unknownKeys(options, ["tokenizer", "preprocessor", "imageSeqLength", "decodeImage"]);
  if (unknown.length > 0)
    throw new PaliGemmaError(
      "processor/option",
      `createProcessor has no option ${unknown.map(({ key }) => key).join(", ")}; it has tokenizer, preprocessor, imageSeqLength and decodeImage`,
    );
  const config = parsePreprocessorConfig(options.preprocessor, options.imageSeqLength);
  const tokenizer = isTokenizer(options.tokenizer) ? options.tokenizer : createTokenizer(options.tokenizer);
  const decode = (ids: Iterable<number | bigint>, how?: DecodeOptions): string => tokenizer.decode(ids, how);
  const toArrays = (sources: readonly RowSource[], settings: TextSettings): TextArrays =>
    collate(
      sources.map((source, index) =>
        buildRow(source, tokenizer, config.imageSeqLength, settings.newlineSeparately, `example ${index}`),
      ),
      settings,
      tokenizer.special.pad,
    );
  return {
    config,
    tokenizer,
    async process(given, processOptions = {}) {
      const { text, image } = readOptions(processOptions);
      const examples = checkExamples(given);
      const arrays = toArrays(
        examples.map(({ source }) => source),
        text,
      );
      const images: ImageLike[] = [];
      for (const [index, example] of examples.entries()) {
        for (const item of example.images) {
          processOptions.signal?.throwIfAborted();
          images.push(await toImage(item, options.decodeImage, `an image of example ${index}`));
        }
      }
      const pixelValues = preprocessImages(images, config, image);
      return { pixelValues, ...arrays, imagesPerRow: examples.map((example) => example.images.length) };
    },
    processTexts(given, textOptions = {}) {
      const texts = (Array.isArray(given) ? given : [given]) as readonly TextExample[];
      const settings = readTextOptions(textOptions);
      const sources = texts.map((item, index) => checkTexts(item, item.images, `example ${index}`));
      for (const [index, { images }] of texts.entries()) {
        if (!(Number.isInteger(images) && images >= 0 && images <= MAX_BATCH))
          throw new PaliGemmaError(
            "processor/example",
            `example ${index} has ${images} images; a number from 0 to ${MAX_BATCH} is needed`,
          );
      }
      return toArrays(sources, settings);
    },
    decode,
    batchDecode: (all, how) => Array.from(all, (ids) => decode(ids, how)),
    toJSON: () => ({
      preprocessorConfig: preprocessorConfigToJson(config),
      processorConfig: processorConfigToJson(config),
    }),
  };
}

interface CheckedExample<Source> {
  readonly source: RowSource;
  readonly images: readonly (ImageLike | Source)[];
}

function checkExamples<Source>(given: Example<Source> | readonly Example<Source>[]): readonly CheckedExample<Source>[] {
  const examples = (Array.isArray(given) ? given : [given]) as readonly Example<Source>[];
  if (examples.length === 0 || examples.length > MAX_BATCH) {
    throw new PaliGemmaError(
      "processor/example",
      `${examples.length} examples were given; 1 to ${MAX_BATCH} are possible in one call`,
    );
  }
  return examples.map((example, index) => {
    const name = `example ${index}`;
    if (typeof example !== "object" || example === null)
      throw new PaliGemmaError("processor/example", `${name} is ${String(example)}, not { image, prompt }`);
    const unknown = unknownKeys(example, ["image", "images", "prompt", "suffix"]);
    if (unknown.length > 0)
      throw new PaliGemmaError(
        "processor/example",
        `${name} has the unknown field ${unknown.map(({ key }) => key).join(", ")}; there are image, images, prompt and suffix`,
      );
    const { image, images } = example;
    if (image !== undefined && images !== undefined)
      throw new PaliGemmaError("processor/example", `${name} has both image and images; give one of them`);
    if (images !== undefined && !Array.isArray(images))
      throw new PaliGemmaError("processor/example", `${name} has images that are no array`);
    const all = images ?? (image === undefined ? [] : [image]);
    return { source: checkTexts(example, all.length, name), images: all };
  });
}

function checkTexts(
  { prompt = "", suffix }: { readonly prompt?: string | undefined; readonly suffix?: string | undefined },
  images: number,
  name: string,
): RowSource {
  for (const [key, value] of Object.entries({ prompt, suffix })) {
    if (value !== undefined && typeof value !== "string")
      throw new PaliGemmaError(
        "processor/example",
        `${name} has a ${key} that is no text but ${value === null ? "null" : typeof value}`,
      );
  }
  return { prompt, suffix, images };
}

async function toImage<Source>(
  item: ImageLike | Source,
  decodeImage: ((source: Source) => Promise<ImageLike>) | undefined,
  name: string,
): Promise<ImageLike> {
  const raw = typeof item === "object" && item !== null && "data" in item && "channels" in item;
  return checkImage(raw || decodeImage === undefined ? (item as ImageLike) : await decodeImage(item), name);
}

function isTokenizer(value: TokenizerFiles | Tokenizer): value is Tokenizer {
  return typeof value === "object" && value !== null && "encode" in value && "special" in value;
}
