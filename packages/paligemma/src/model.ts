import type { Backend, CompileOptions, Session, Tensor } from "@paligemma/backend";
import { releasedTensors, type PaliGemmaConfig } from "@paligemma/config";
import type { NdArray } from "@paligemma/core";
import { loadGemma, type DecoderState, type GemmaDecoder, type Prompt, type TextState } from "@paligemma/gemma";
import { canonicalNames, matchTensors, type Adapter, type Checkpoint } from "@paligemma/weights";
import { AdapterSet, HEAD } from "./adapters.ts";
import {
  checkPixels,
  keptRows,
  typesOf,
  type ForwardInputs,
  type ForwardOptions,
  type ForwardOutputs,
} from "./forward.ts";
import { tensorsKey } from "./content-key.ts";
import { FeatureCache } from "./feature-cache.ts";
import { crossEntropy, targetsOf } from "./loss.ts";
import { visionGraph } from "./network.ts";
import { checkBytes, PromptCache } from "./prompt-cache.ts";

/** What a model is made from. */
export interface CreateModelOptions extends CompileOptions {
  readonly config: PaliGemmaConfig;
  readonly checkpoint: Checkpoint;
  readonly backend: Backend;
  /** Apply Gemma 2's final soft-capping to logits. Default false, as in transformers; greedy answers are the same. */
  readonly finalSoftcap?: boolean;
  /** Adapters by name, kept apart from the weights and swapped by `useAdapter`. See `AdapterSet` for what that costs. */
  readonly adapters?: Readonly<Record<string, Adapter>>;
  /** Bytes of features of the pictures seen last that stay on the device. Default 0: each picture is encoded each time. */
  readonly visionCacheBytes?: number;
  /**
   * Bytes of keys and values of the prompts run last that stay on the device, for the very same prompts. Default 0: each prompt
   * runs each time.
   */
  readonly promptCacheBytes?: number;
}

/** PaliGemma's networks on a backend, without a processor: tokens and pixels in, logits out. */
export interface PaliGemmaModel extends AsyncDisposable {
  readonly config: PaliGemmaConfig;
  /** Absent where there are none to swap: an ONNX export has its weights built in. */
  readonly adapters?: AdapterSet;
  /** Pixels [images, channels, size, size] → rows for image tokens [images · patches, hidden], on the device; the caller disposes them. */
  encodeImages(pixels: NdArray<"float32">, options?: { readonly signal?: AbortSignal }): Promise<Tensor>;
  /** Logits of chosen positions and, with labels, the loss. */
  forward(inputs: ForwardInputs, options?: ForwardOptions): Promise<ForwardOutputs>;
  /** The prompt of `inputs`, ready to be continued; its cache makes room for `expectedTokens`. The caller disposes the state. */
  start(
    inputs: ForwardInputs,
    options?: { readonly expectedTokens?: number; readonly signal?: AbortSignal },
  ): Promise<TextState>;
  dispose(): Promise<void>;
}

/** The same from a checkpoint, whose decoder can also be used alone. */
export interface CheckpointModel extends PaliGemmaModel {
  readonly decoder: GemmaDecoder;
  readonly adapters: AdapterSet;
  start(
    inputs: ForwardInputs,
    options?: { readonly expectedTokens?: number; readonly signal?: AbortSignal },
  ): Promise<DecoderState>;
}

/** Tensors that a checkpoint may hold without harm: the head is the token table again. */
const OPTIONAL = new Set([HEAD]);

/**
 * Compiles both networks. Throws `weights/mismatch` listing all missing, superfluous and misshapen tensors at once.
 */
export async function createModel(options: CreateModelOptions): Promise<CheckpointModel> {
  const { config, backend, finalSoftcap = false, onProgress, signal } = options;
  const { visionCacheBytes = 0, promptCacheBytes = 0 } = options;
  checkBytes("visionCacheBytes", visionCacheBytes);
  checkBytes("promptCacheBytes", promptCacheBytes);
  const checkpoint = canonicalNames(options.checkpoint);
  matchTensors(checkpoint, releasedTensors(config), { optional: OPTIONAL });
  const compile = { ...(onProgress && { onProgress }), ...(signal && { signal }) };
  const { text, imageTokenIndex } = config;
  const adapters = await AdapterSet.create(backend, config, checkpoint, options.adapters ?? {}, signal);
  const { slots } = adapters;
  const pictures = new FeatureCache(backend, visionCacheBytes);
  const prompts = new PromptCache(backend, text, promptCacheBytes);
  const made: AsyncDisposable[] = [adapters, pictures, prompts].map((part) => ({
    [Symbol.asyncDispose]: () => Promise.resolve(part[Symbol.dispose]()),
  }));
  const dispose = async (): Promise<void> => void (await Promise.all(made.map((part) => part[Symbol.asyncDispose]())));
  let vision: Session;
  let decoder: GemmaDecoder;
  try {
    const encoding = backend.compile(visionGraph(config, backend.target, checkpoint, slots), compile);
    // Where weights are read while compiling, those of both would be in memory at once.
    if (!backend.target.mapsFiles) await encoding;
    // A place for another output layer makes it a tensor of its own.
    const tieWordEmbeddings = text.tieWordEmbeddings && !slots.whole.has(HEAD);
    const own = { config: { ...text, tieWordEmbeddings }, checkpoint, backend, imageTokenIndex, finalSoftcap, slots };
    const decoding = loadGemma({ ...own, ...compile });
    for (const part of await Promise.allSettled([encoding, decoding]))
      if (part.status === "fulfilled") made.push(part.value);
    [vision, decoder] = await Promise.all([encoding, decoding]);
  } catch (error) {
    await dispose();
    throw error;
  }

  async function encodeImages(
    pixels: NdArray<"float32">,
    run: { readonly signal?: AbortSignal } = {},
  ): Promise<Tensor> {
    const weights = adapters.feedsOf(vision.model);
    const variant = tensorsKey(weights);
    const { images, picture, size } = checkPixels(pixels, config);
    const rows = config.numImageTokens;
    const features = await backend.allocate(backend.target.compute, [images * rows, text.hiddenSize]);
    try {
      // One picture at a time: attention over its patches is what takes memory.
      for (let i = 0; i < images; i++) {
        const one = {
          dtype: "float32",
          shape: [1, ...picture],
          data: pixels.data.slice(i * size, (i + 1) * size),
        } as const;
        const into = features.rows(i * rows, (i + 1) * rows);
        await pictures.provide(one, variant, into, () =>
          vision.run({ pixel_values: one, ...weights }, { into: { image_features: into }, ...run }),
        );
        run.signal?.throwIfAborted();
      }
    } catch (error) {
      features.dispose();
      throw error;
    }
    return features;
  }

  /** Undefined for prompts without pictures, of which the processor makes pixels [0, …]. */
  async function featuresOf(
    { pixelValues }: ForwardInputs,
    run: { readonly signal?: AbortSignal },
  ): Promise<Tensor | undefined> {
    return pixelValues && pixelValues.shape[0] !== 0 ? await encodeImages(pixelValues, run) : undefined;
  }

  async function withPrompt<T>(
    inputs: ForwardInputs,
    run: { readonly signal?: AbortSignal },
    use: (prompt: Prompt, weights: Readonly<Record<string, Tensor>>) => Promise<T>,
  ): Promise<T> {
    const weights = adapters.feedsOf(decoder.model);
    const features = await featuresOf(inputs, run);
    try {
      const { inputIds, attentionMask } = inputs;
      const tokenTypeIds = inputs.tokenTypeIds ?? (inputs.labels && typesOf(inputs.labels));
      return await use(
        {
          inputIds,
          ...(attentionMask && { attentionMask }),
          ...(tokenTypeIds && { tokenTypeIds }),
          ...(features && { imageFeatures: features }),
        },
        weights,
      );
    } finally {
      features?.dispose();
    }
  }

  return {
    config,
    decoder,
    adapters,
    encodeImages,
    async forward(inputs, { logitsToKeep = 0, signal: abort } = {}) {
      const { inputIds, labels } = inputs;
      const targets = labels && targetsOf(labels, inputIds, text.vocabSize);
      const kept = keptRows(inputIds.shape, logitsToKeep);
      const asked = [...new Set([...kept, ...(targets ?? []).map((t) => t.row)])];
      const place = new Map(asked.map((row, i) => [row, i]));
      const run = abort ? { signal: abort } : {};
      const all = await withPrompt(inputs, run, (prompt, weights) =>
        decoder.logits(prompt, asked, { weights, ...run }),
      );
      const shape = [inputIds.shape[0]!, kept.length / inputIds.shape[0]!, text.vocabSize];
      const data = asked.length === kept.length ? all.data : all.data.slice(0, kept.length * text.vocabSize);
      const logits = { dtype: "float32", shape, data } as const;
      return targets ? { logits, loss: crossEntropy(all, targets, (row) => place.get(row)!) } : { logits };
    },
    async start(inputs, { expectedTokens, signal: abort } = {}) {
      const weights = adapters.feedsOf(decoder.model);
      const variant = tensorsKey({ ...weights, ...adapters.feedsOf(vision.model) });
      const how = { room: expectedTokens ?? 0, signal: abort };
      return await prompts.state(inputs, variant, how, () => begin(inputs, weights, { expectedTokens, signal: abort }));
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  };

  /** A state whose prompt has run. */
  async function begin(
    inputs: ForwardInputs,
    weights: Readonly<Record<string, Tensor>>,
    {
      expectedTokens,
      signal: abort,
    }: { readonly expectedTokens: number | undefined; readonly signal: AbortSignal | undefined },
  ): Promise<DecoderState> {
    const features = await featuresOf(inputs, abort ? { signal: abort } : {});
    const { inputIds, attentionMask, tokenTypeIds } = inputs;
    try {
      const prompt = {
        inputIds,
        ...(attentionMask && { attentionMask }),
        ...(tokenTypeIds && { tokenTypeIds }),
        ...(features && { imageFeatures: features }),
      };
      const state = decoder.start(prompt, {
        weights,
        ...(expectedTokens !== undefined && { expectedTokens }),
        ...(abort && { signal: abort }),
      });
      // The prompt runs here, so that the features can go: what is kept of them is in the cache.
      await state.logits().catch((error: unknown) => {
        state.dispose();
        throw error;
      });
      return state;
    } finally {
      features?.dispose();
    }
  }
}
