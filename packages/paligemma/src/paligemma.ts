import type { Backend, CompileOptions } from "@paligemma/backend";
import type { PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError } from "@paligemma/core";
import { generate, stream, type Generated, type GenerateOptions } from "@paligemma/generation";
import { detections, segments, type Constraint, type Vocabulary } from "@paligemma/generation/constraints";
import { placeSegments, type MaskDecoder, type Segment as MaskedObject } from "@paligemma/masks";
import { formatDetections, markupIds, parseDetectionIds, type ParsedDetections } from "@paligemma/parsers";
import type { ExportDType } from "@paligemma/onnx";
import { createTextStream, type ImageLike, type ModelInputs, type Processor } from "@paligemma/processor";
import type { Adapter, ModelFiles } from "@paligemma/weights";
import type { AdapterSet } from "./adapters.ts";
import type { Answer, AnswerOptions, Ask, FindOptions, Picture, Piece } from "./ask.ts";
import { recording, withConfidences, type FoundObject } from "./confidences.ts";
import { maskCodecOf, readConfig, readProcessor, type MaybeProcessor } from "./files.ts";
import type { ForwardInputs, ForwardOptions, ForwardOutputs } from "./forward.ts";
import type { PaliGemmaModel } from "./model.ts";
import { joinFound, type FoundPart } from "./join-found.ts";
import { openNetworks } from "./open-networks.ts";
import { prompts } from "./prompts.ts";
import { selfCheck } from "./self-check.ts";
import { scoreAnswers, type RankedAnswer, type ScoreAnswersOptions } from "./score-answers.ts";
import { vocabularyOf } from "./vocabulary.ts";

/** New tokens at most where the caller does not say: enough for 30 objects, or a long caption. */
export const DEFAULT_MAX_NEW_TOKENS = 256;

/** Prompts of one `detect` or `segment` that are answered as a batch: memory for more grows, and time hardly shrinks. */
const PROMPTS_AT_ONCE = 8;

/** A language for tasks that are answered in words. */
export interface LanguageOption {
  /** Code of one of PaliGemma's languages. Default "en". */
  readonly language?: string;
}

/** Boxes that were found, in the order of the answer, and the answer itself. */
export interface Detections extends Omit<ParsedDetections, "items"> {
  readonly items: readonly FoundObject[];
  readonly text: string;
}

/** One object with its mask over the whole picture. */
export type Segment = MaskedObject<FoundObject & { readonly codes: readonly number[] }>;

/** Objects with masks, in the order of the answer; boxes without a whole mask, and other text, are in `rest`. */
export interface Segments extends Omit<ParsedDetections, "items"> {
  readonly items: readonly Segment[];
  readonly text: string;
}

/**
 * PaliGemma, ready to be asked. The caller disposes it; the backend stays the caller's. Calls may overlap; the backend runs
 * them one after another.
 */
export interface PaliGemma<Source = never> extends AsyncDisposable {
  readonly config: PaliGemmaConfig;
  /** Throws `processor/tokenizer-missing` where the checkpoint came without a tokenizer. */
  readonly processor: Processor<Source>;
  /**
   * The processor's tokens as the constraints of `@paligemma/generation/constraints` take them; read when first asked for,
   * which takes a second where there are 257 thousand.
   */
  readonly vocabulary: Vocabulary;
  /** The constraint that `detect` or `segment` sets for labels, for use with `generate` and `stream`. */
  constraintTo(task: "detect" | "segment", labels: readonly string[]): Constraint;
  /** The networks alone. */
  readonly model: PaliGemmaModel;
  /** The adapters that it was loaded with, and which of them is in use. Throws `paligemma/adapter` for an ONNX export. */
  readonly adapters: AdapterSet;
  /** Logits of chosen positions and, with labels, the loss. */
  forward(inputs: ForwardInputs, options?: ForwardOptions): Promise<ForwardOutputs>;
  /** Token ids for prepared inputs: `numReturnSequences` rows per input row, best first. Default: 20 new tokens. */
  generateIds(
    inputs: ForwardInputs,
    options?: Omit<GenerateOptions, "promptIds"> & { readonly signal?: AbortSignal },
  ): Promise<Generated>;
  /** The answer to one question. */
  generate(ask: Ask<Source>, options?: AnswerOptions): Promise<Answer>;
  /** The answers to several, as one batch: answer i is what ask i alone would get. */
  generate(asks: readonly Ask<Source>[], options?: AnswerOptions): Promise<readonly Answer[]>;
  /** Given answers to a question, likeliest first: the prompt runs once, whatever their number. */
  score(ask: Ask<Source>, answers: readonly string[], options?: ScoreAnswersOptions): Promise<readonly RankedAnswer[]>;
  /** The same while it is written. */
  stream(ask: Ask<Source> | readonly Ask<Source>[], options?: AnswerOptions): AsyncIterable<Piece>;
  /** What is in the picture, in a sentence. */
  caption(picture: Picture<Source>, options?: AnswerOptions & LanguageOption): Promise<string>;
  /** A short answer to a question about the picture. */
  answer(picture: Picture<Source>, question: string, options?: AnswerOptions & LanguageOption): Promise<string>;
  /** The text in the picture. */
  ocr(picture: Picture<Source>, options?: AnswerOptions): Promise<string>;
  /**
   * Boxes of what the labels name, and of nothing else; with `constrained: false` the model answers as it likes, and what of
   * the answer is no box stands in `rest`.
   */
  detect(picture: Picture<Source>, labels: readonly string[], options?: FindOptions): Promise<Detections>;
  /**
   * Boxes and masks of what the labels name, as `detect` finds boxes. Needs the mask codec: beside the weights
   * (`mask-codec.safetensors` or `vae-oid.npz`) or as `maskCodec` when loading; throws `paligemma/no-codec` without.
   */
  segment(picture: Picture<Source>, labels: readonly string[], options?: FindOptions): Promise<Segments>;
  dispose(): Promise<void>;
}

/** How to load. */
export interface LoadOptions<Source = never> extends CompileOptions {
  readonly backend: Backend;
  /** Reads pictures that are no raw pixels yet, such as `decodeImage` of `@paligemma/processor/node`. */
  readonly decodeImage?: (source: Source) => Promise<ImageLike>;
  /**
   * Turns the codes of `segment` answers into masks: `loadMaskCodec`, or `createGraphCodec` to decode on the backend. Default:
   * the codec among the model's files, read when first needed, in WebAssembly.
   */
  readonly maskCodec?: MaskDecoder;
  /** Apply Gemma 2's final soft-capping to logits. Default false, as in transformers. */
  readonly finalSoftcap?: boolean;
  /**
   * Compares a few logits with those in `self-check.json` beside the weights, where there is one; a device that computes
   * something else is refused with `paligemma/self-check`. Default: on WebGPU, where kernels and drivers are many.
   */
  readonly selfCheck?: boolean;
  /** Of an ONNX export in several precisions: which one. Default: the one that its `config.json` names. */
  readonly exportDType?: ExportDType;
  /**
   * LoRA adapters by name, kept apart from the weights: `model.adapters.use(name)` swaps them while the model stays loaded. To
   * have one adapter for good, merge it instead (`mergeAdapter` of `@paligemma/weights`): that is faster.
   */
  readonly adapters?: Readonly<Record<string, Adapter | ModelFiles>>;
  /**
   * Bytes of features of the pictures seen last that stay on the device, so that asking again about a picture does not encode it
   * again. Default 64 MiB, which is 32 pictures of 224 pixels; 0 for none. Of a checkpoint only.
   */
  readonly visionCacheBytes?: number;
  /**
   * Bytes of keys and values of the prompts run last that stay on the device, so that the very same prompt about the very same
   * pictures (another draw, another constraint) does not run again. Default 0: none. Of a checkpoint only.
   */
  readonly promptCacheBytes?: number;
}

/**
 * A model from its files: `config.json`, safetensors (single or sharded) or else an ONNX export made for transformers.js, `tokenizer.json`, `tokenizer_config.json`,
 * `preprocessor_config.json`. Without a tokenizer `forward` and `generateIds` still work. Weights are not read here: the
 * backend maps or streams them.
 */
export async function loadPaliGemma<Source = never>(
  files: ModelFiles,
  options: LoadOptions<Source>,
): Promise<PaliGemma<Source>> {
  const { decodeImage, signal } = options;
  const config = await readConfig(files, signal);
  const reading = { ...(decodeImage && { decodeImage }), ...(signal && { signal }) };
  const processor = await readProcessor<Source>(files, config, reading);
  const model = await openNetworks(files, config, options);
  // Soft-capped logits are others than those that were recorded.
  if (!options.finalSoftcap && (options.selfCheck ?? options.backend.target.name === "webgpu")) {
    await selfCheck(model, files, options.backend).catch(async (error: unknown) => {
      await model.dispose();
      throw error;
    });
  }
  const codec = options.maskCodec
    ? (): Promise<MaskDecoder> => Promise.resolve(options.maskCodec!)
    : maskCodecOf(files);
  return paligemma(model, processor, codec, decodeImage);
}

function paligemma<Source>(
  model: PaliGemmaModel,
  made: MaybeProcessor<Source>,
  codec: () => Promise<MaskDecoder>,
  decodeImage: LoadOptions<Source>["decodeImage"],
): PaliGemma<Source> {
  const { config } = model;

  function processor(): Processor<Source> {
    if ("missing" in made) throw made.missing;
    return made.processor;
  }

  let read: Vocabulary | undefined;
  const vocabulary = (): Vocabulary => (read ??= vocabularyOf(processor().tokenizer, config.eosTokenIds));

  /** What `generation` needs to know of prepared inputs, and the caller's own choices. */
  function optionsFor<T extends object>(inputs: ForwardInputs, options: T): T & GenerateOptions {
    return { eosTokenId: config.eosTokenIds, padTokenId: config.padTokenId, promptIds: rowsOf(inputs), ...options };
  }

  function answerOptions(inputs: ModelInputs, options: AnswerOptions): GenerateOptions {
    const decode = (ids: readonly number[]): string => processor().decode(ids, { skipSpecialTokens: true });
    return {
      maxNewTokens: DEFAULT_MAX_NEW_TOKENS,
      ...(options.stopStrings !== undefined && { decode }),
      ...optionsFor(inputs, options),
    };
  }

  async function prepare(asks: readonly Ask<Source>[], signal?: AbortSignal): Promise<ModelInputs> {
    return await processor().process(asks, signal ? { signal } : {});
  }

  const start = (
    inputs: ForwardInputs,
    options: { maxNewTokens?: number; signal?: AbortSignal },
  ): ReturnType<PaliGemmaModel["start"]> =>
    model.start(inputs, {
      expectedTokens: options.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS,
      ...(options.signal && { signal: options.signal }),
    });

  async function answers(asks: readonly Ask<Source>[], options: AnswerOptions): Promise<Answer[]> {
    const inputs = await prepare(asks, options.signal);
    using state = await start(inputs, options);
    const result = await generate(state, answerOptions(inputs, options));
    const { sequences, stoppedBy, scores, tokenScores, distributions } = result;
    return sequences.map((tokens, i) => ({
      text: processor().decode(tokens, { skipSpecialTokens: true }),
      tokens,
      stoppedBy: stoppedBy[i]!,
      ...(scores && { score: scores[i]! }),
      ...(tokenScores && { tokenScores: tokenScores[i]! }),
      ...(distributions && { distributions: distributions[i]! }),
    }));
  }

  function generateAnswers(ask: Ask<Source>, options?: AnswerOptions): Promise<Answer>;
  function generateAnswers(asks: readonly Ask<Source>[], options?: AnswerOptions): Promise<readonly Answer[]>;
  async function generateAnswers(
    asked: Ask<Source> | readonly Ask<Source>[],
    options: AnswerOptions = {},
  ): Promise<Answer | readonly Answer[]> {
    if (Array.isArray(asked)) return await answers(asked as readonly Ask<Source>[], options);
    return (await answers([asked as Ask<Source>], options))[0]!;
  }

  async function* pieces(
    asked: Ask<Source> | readonly Ask<Source>[],
    options: AnswerOptions = {},
  ): AsyncGenerator<Piece> {
    const inputs = await prepare((Array.isArray(asked) ? asked : [asked]) as readonly Ask<Source>[], options.signal);
    using state = await start(inputs, options);
    const texts = new Map<number, ReturnType<typeof createTextStream>>();
    for await (const event of stream(state, answerOptions(inputs, options))) {
      const { row, time } = event;
      const text = texts.get(row) ?? createTextStream(processor().tokenizer, { skipSpecialTokens: true });
      texts.set(row, text);
      if (event.type === "stop") {
        const rest = text.end();
        if (rest !== "") yield { row, text: rest, token: undefined, time };
      } else {
        yield {
          row,
          text: text.push([event.token]),
          token: event.token,
          time,
          ...(event.score !== undefined && { score: event.score }),
        };
      }
    }
  }

  async function ask(image: Picture<Source>, prompt: string, options: AnswerOptions & LanguageOption): Promise<Answer> {
    const { language: _, ...rest } = options;
    return await generateAnswers({ image, prompt }, rest);
  }

  async function decoded(picture: Picture<Source>): Promise<ImageLike> {
    if (typeof picture === "object" && picture !== null && "data" in picture && "channels" in picture) return picture;
    if (!decodeImage)
      throw new PaliGemmaError(
        "paligemma/picture",
        "the picture is no raw pixels { data, width, height, channels } and no decodeImage was given to loadPaliGemma",
      );
    return await decodeImage(picture);
  }

  function constraintTo(task: "detect" | "segment", labels: readonly string[]): Constraint {
    prompts[task](labels); // labels that cannot be asked for are errors here, too
    const named = { labels: labels.map((label) => label.trim()) };
    return (task === "detect" ? detections : segments)(vocabulary(), named);
  }

  async function find(
    picture: Picture<Source>,
    task: "detect" | "segment",
    labels: readonly string[],
    { constrained = true, confidences = false, together = task === "detect", ...options }: FindOptions,
  ): Promise<{ readonly image: ImageLike; readonly found: Detections }> {
    prompts[task](labels); // labels that cannot be asked for are errors before any work
    for (const [name, value] of Object.entries({ constrained, confidences, together }))
      if (typeof value !== "boolean")
        throw new PaliGemmaError("paligemma/option", `${name} is ${String(value)}; it is true or false`);
    const groups = together ? [labels] : [...new Set(labels.map((label) => label.trim()))].map((label) => [label]);
    const image = await decoded(picture);
    const own = processor();
    const decode = (ids: number[]): string => own.decode(ids, { skipSpecialTokens: true });
    const markup = markupIds((piece) => own.tokenizer.idOf(piece));
    const parts: FoundPart[] = [];
    for (let at = 0; at < groups.length; at += PROMPTS_AT_ONCE) {
      const batch = groups.slice(at, at + PROMPTS_AT_ONCE);
      const found = await answers(
        batch.map((group) => ({ image, prompt: prompts[task](group) })),
        {
          ...(constrained && { constraint: batch.map((group) => constraintTo(task, group)) }),
          ...options,
          ...(confidences && recording(own.tokenizer)),
        },
      );
      for (const [i, answer] of found.entries()) {
        // Of several answers to one prompt, the best stands first.
        if (i % (found.length / batch.length) > 0) continue;
        const { text, tokens } = answer;
        const parsed = parseDetectionIds(tokens, image, { decode, markup });
        const rated = confidences ? withConfidences(parsed, answer, own.tokenizer, config.eosTokenIds) : parsed;
        parts.push({ text, length: tokens.length, found: rated });
      }
    }
    return { image, found: joinFound(parts) };
  }

  return {
    config,
    model,
    get processor() {
      return processor();
    },
    get adapters() {
      if (model.adapters) return model.adapters;
      throw new PaliGemmaError("paligemma/adapter", "an ONNX export has no adapters of its own; load its checkpoint");
    },
    forward: (inputs, options) => model.forward(inputs, options),
    async generateIds(inputs, options = {}) {
      using state = await start(inputs, options);
      return await generate(state, optionsFor(inputs, options));
    },
    get vocabulary() {
      return vocabulary();
    },
    constraintTo,
    generate: generateAnswers,
    async score(asked, list, options = {}) {
      const inputs = await prepare([asked], options.signal);
      using state = await start(inputs, options);
      return await scoreAnswers(state, list, processor().tokenizer, config.eosTokenIds[0]!, options);
    },
    stream: pieces,
    caption: async (picture, options = {}) =>
      (await ask(picture, prompts.caption(options.language ?? "en"), options)).text,
    answer: async (picture, question, options = {}) =>
      (await ask(picture, prompts.answer(question, options.language ?? "en"), options)).text,
    ocr: async (picture, options = {}) => (await ask(picture, prompts.ocr(), options)).text,
    detect: async (picture, labels, options = {}) => (await find(picture, "detect", labels, options)).found,
    async segment(picture, labels, options = {}) {
      prompts.segment(labels); // a wrong label is said before the codec is read
      const masks = await codec();
      const { image, found } = await find(picture, "segment", labels, options);
      const whole = found.items.filter(
        (item): item is FoundObject & { codes: readonly number[] } => item.codes !== undefined,
      );
      const boxes = found.items.filter((item) => item.codes === undefined).map((item) => formatDetections([item]));
      const rest = [...boxes, found.rest].filter((part) => part !== "").join("\n");
      const rasters = await masks.decode(whole.map(({ codes }) => codes));
      return { ...found, rest, items: placeSegments(rasters, whole, image) };
    },
    dispose: () => model.dispose(),
    [Symbol.asyncDispose]: () => model.dispose(),
  };
}

/** [batch][tokens] */
function rowsOf({ inputIds }: ForwardInputs): number[][] {
  const [batch = 0, tokens = 0] = inputIds.shape;
  return Array.from({ length: batch }, (_, b) =>
    Array.from(inputIds.data.subarray(b * tokens, (b + 1) * tokens), Number),
  );
}
