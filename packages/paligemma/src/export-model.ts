import type { Backend, CompileOptions, Session } from "@paligemma/backend";
import type { PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError, fromFloat32, toFloat32, type NdArray } from "@paligemma/core";
import { PARTS, openExport, type ExportDType } from "@paligemma/onnx";
import type { ModelFiles } from "@paligemma/weights";
import { ExportState, runStep, type ExportSessions, type Step } from "./export-state.ts";
import { checkPixels, keptRows, typesOf, type ForwardInputs } from "./forward.ts";
import { crossEntropy, targetsOf } from "./loss.ts";
import type { PaliGemmaModel } from "./model.ts";

/** What a model is made from that lies as an ONNX export. */
export interface ExportModelOptions extends CompileOptions {
  readonly config: PaliGemmaConfig;
  readonly files: ModelFiles;
  readonly backend: Backend;
  /** Which precision, where there are several. */
  readonly exportDType?: ExportDType;
}

/**
 * PaliGemma from an export that was made for transformers.js, by whomever: the same calls, the same answers. Rows of a batch
 * run one by one, because such graphs have no mask for padding.
 */
export async function createExportModel(options: ExportModelOptions): Promise<PaliGemmaModel> {
  const { config, files, backend, exportDType, onProgress, signal } = options;
  const { graphs } = await openExport(files, {
    target: backend.target,
    ...(exportDType && { dtype: exportDType }),
    ...(signal && { signal }),
  });
  const compile = { ...(onProgress && { onProgress }), ...(signal && { signal }) };
  const made: Session[] = [];
  const dispose = async (): Promise<void> => void (await Promise.all(made.map((session) => session.dispose())));
  try {
    for (const part of PARTS) made.push(await backend.compile(graphs[part], compile));
  } catch (error) {
    await dispose();
    throw error;
  }
  const [vision, embed, decoder] = made;
  return exportModel({ config, vision: vision!, embed: embed!, decoder: decoder! }, backend, dispose);
}

/** A row of a batch without its padding: its tokens, where each stands in the row, and how many of them are the prefix. */
interface Prompt {
  readonly ids: readonly number[];
  readonly places: readonly number[];
  readonly prefix: number;
  readonly features: Float32Array | undefined;
}

function exportModel(sessions: ExportSessions, backend: Backend, dispose: () => Promise<void>): PaliGemmaModel {
  const { config, vision, decoder } = sessions;
  const { hiddenSize, vocabSize } = config.text;

  /** Rows of the decoder for each picture, one picture at a time. [images · patches, hidden] */
  async function features(pixels: NdArray<"float32">, signal: AbortSignal | undefined): Promise<NdArray<"float32">> {
    const { images, picture, size } = checkPixels(pixels, config);
    const rows = config.numImageTokens;
    const data = new Float32Array(images * rows * hiddenSize);
    const [port] = vision.model.inputs;
    for (let i = 0; i < images; i++) {
      const one = {
        dtype: "float32",
        shape: [1, ...picture],
        data: pixels.data.slice(i * size, (i + 1) * size),
      } as const;
      const feeds = { pixel_values: fromFloat32(one, port!.dtype as "float32") };
      const { host } = await vision.run(feeds, { host: ["image_features"], ...(signal && { signal }) });
      const made = toFloat32(host["image_features"]!).data;
      if (made.length !== rows * hiddenSize)
        throw new PaliGemmaError(
          "paligemma/mismatch",
          `the vision encoder gives ${made.length} numbers for a picture, the config asks for ${rows} rows of ${hiddenSize}. Do export and config.json belong together?`,
        );
      data.set(made, i * rows * hiddenSize);
    }
    return { dtype: "float32", shape: [images * rows, hiddenSize], data };
  }

  async function promptsOf(inputs: ForwardInputs, signal: AbortSignal | undefined): Promise<readonly Prompt[]> {
    const { inputIds, attentionMask, pixelValues } = inputs;
    const types = inputs.tokenTypeIds ?? (inputs.labels && typesOf(inputs.labels));
    const [batch = 0, tokens = 0] = inputIds.shape;
    const all = pixelValues && pixelValues.shape[0] !== 0 ? (await features(pixelValues, signal)).data : undefined;
    let used = 0;
    const prompts = Array.from({ length: batch }, (_, b) => {
      const places = Array.from({ length: tokens }, (_unused, t) => t).filter(
        (t) => attentionMask?.data[b * tokens + t] !== 0n,
      );
      const ids = places.map((t) => Number(inputIds.data[b * tokens + t]));
      const first = places.findIndex((t) => types !== undefined && types.data[b * tokens + t] !== 0n);
      const pictures = all ? ids.filter((id) => id === config.imageTokenIndex).length * hiddenSize : 0;
      used += pictures;
      return { ids, places, prefix: first === -1 ? ids.length : first, features: all?.subarray(used - pictures, used) };
    });
    const empty = prompts.findIndex(({ prefix }) => prefix === 0);
    if (empty !== -1)
      throw new PaliGemmaError(
        "paligemma/prompt",
        `row ${empty} has no prefix; an ONNX export needs at least one token of it`,
      );
    if (all && used !== all.length)
      throw new PaliGemmaError(
        "paligemma/prompt",
        `the prompts have ${used / hiddenSize} image tokens, the pictures make ${all.length / hiddenSize} rows; process both together`,
      );
    return prompts;
  }

  async function prefixOf(
    { ids, prefix, features: rows }: Prompt,
    all: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Step> {
    return await runStep(sessions, ids.slice(0, prefix), undefined, {
      all,
      ...(rows && { features: rows }),
      ...(signal && { signal }),
    });
  }

  /** Logits after every token of a row, [tokens without padding, vocabulary]. */
  async function allLogits(prompt: Prompt, signal: AbortSignal | undefined): Promise<Float32Array> {
    const out = new Float32Array(prompt.ids.length * vocabSize);
    let step = await prefixOf(prompt, true, signal);
    out.set(step.logits);
    for (let i = prompt.prefix; i < prompt.ids.length; i++) {
      const { cache } = step;
      step = await runStep(sessions, [prompt.ids[i]!], cache, signal ? { signal } : {});
      cache.release();
      out.set(step.logits, i * vocabSize);
    }
    step.cache.release();
    return out;
  }

  return {
    config,
    encodeImages: async (pixels, { signal } = {}) => await backend.upload(await features(pixels, signal)),
    async forward(inputs, { logitsToKeep = 0, signal } = {}) {
      const { inputIds, labels } = inputs;
      const [batch = 0, tokens = 0] = inputIds.shape;
      const targets = labels && targetsOf(labels, inputIds, vocabSize);
      const kept = keptRows(inputIds.shape, logitsToKeep);
      const all = new Float32Array(batch * tokens * vocabSize);
      for (const [b, prompt] of (await promptsOf(inputs, signal)).entries()) {
        const scores = await allLogits(prompt, signal);
        prompt.places.forEach((t, i) =>
          all.set(scores.subarray(i * vocabSize, (i + 1) * vocabSize), (b * tokens + t) * vocabSize),
        );
      }
      const data = new Float32Array(kept.length * vocabSize);
      kept.forEach((row, i) => data.set(all.subarray(row * vocabSize, (row + 1) * vocabSize), i * vocabSize));
      const logits = { dtype: "float32", shape: [batch, kept.length / batch, vocabSize], data } as const;
      if (!targets) return { logits };
      const rows = { dtype: "float32", shape: [batch * tokens, vocabSize], data: all } as const;
      return { logits, loss: crossEntropy(rows, targets, (row) => row) };
    },
    async start(inputs, { signal } = {}) {
      const steps: Step[] = [];
      try {
        for (const prompt of await promptsOf(inputs, signal)) {
          if (prompt.prefix < prompt.ids.length)
            throw new PaliGemmaError(
              "paligemma/prompt",
              `${decoder.model.name} is started with a prefix; advance it by the suffix`,
            );
          steps.push(await prefixOf(prompt, false, signal));
        }
      } catch (error) {
        for (const { cache } of steps) cache.release();
        throw error;
      }
      return new ExportState(sessions, steps, signal);
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}
