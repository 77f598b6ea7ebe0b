import type { Backend, CompileOptions, Session, Tensor } from "@paligemma/backend";
import type { GemmaConfig } from "@paligemma/config";
import { PaliGemmaError, type NdArray } from "@paligemma/core";
import { FEW_ROWS, formatShape, type Choices, type GraphModel } from "@paligemma/graph";
import { canonicalNames, type Checkpoint } from "@paligemma/weights";
import { rowPicker } from "./cache.ts";
import {
  gemmaGraph,
  hasFew,
  scoresSome,
  sharesWeights,
  someScoresGraph,
  type DecoderGraphOptions,
} from "./decoder-graph.ts";
import { planLayers, type LayerPlan } from "./layer-plan.ts";
import { Layerwise, LAYERWISE_ROWS, type Runner } from "./layerwise.ts";
import { Screening } from "./screening.ts";
import { DecoderState } from "./state.ts";

/** A batch of prompts. Rows are padded to one length on either side; pads are where `attentionMask` is 0. */
export interface Prompt {
  /** [batch, tokens] */
  readonly inputIds: NdArray<"int64">;
  /** [batch, tokens], 1 for real tokens. Default: all 1. */
  readonly attentionMask?: NdArray<"int64">;
  /**
   * [batch, tokens], 0 for the prefix, whose tokens see each other, 1 for what is causal. Default: all prefix for a decoder
   * with images (a PaliGemma prompt), all causal without.
   */
  readonly tokenTypeIds?: NdArray<"int64">;
  /** Rows for the image tokens, in the order of the tokens through the batch. [features, hidden] */
  readonly imageFeatures?: NdArray | Tensor;
}

/** How a state is set up. */
export interface StartOptions {
  /** Positions to make room for beyond the prompt; the cache grows when they are used up. Default 64. */
  readonly expectedTokens?: number;
  /** What `slots` left open, by the names of the inputs. The state uses it to its end. */
  readonly weights?: Readonly<Record<string, Tensor>>;
  readonly signal?: AbortSignal;
}

/** A Gemma decoder on a backend. The caller disposes it; its states end with it. */
export interface GemmaDecoder extends AsyncDisposable {
  readonly config: GemmaConfig;
  /** The graph that runs; where the target has others for few rows, those take and give the same. */
  readonly model: GraphModel;
  /** A batch of prompts, ready to be continued. Nothing runs before scores are asked for. The caller disposes the state. */
  start(prompt: Prompt, options?: StartOptions): DecoderState;
  /**
   * Logits of chosen positions of a prompt, [asked, vocabulary]; `rows` count through the batch, row · tokens + position.
   * Throws `gemma/prompt` for a prompt that does not fit together.
   */
  logits(
    prompt: Prompt,
    rows: readonly number[],
    options?: Pick<StartOptions, "weights" | "signal">,
  ): Promise<NdArray<"float32">>;
  dispose(): Promise<void>;
}

/** What a decoder is made from: any checkpoint with Gemma's tensors, in any spelling, PaliGemma's included. */
export interface LoadGemmaOptions extends Omit<DecoderGraphOptions, "few" | "single">, CompileOptions {
  readonly config: GemmaConfig;
  readonly checkpoint: Checkpoint;
  readonly backend: Backend;
  /** With images: the id whose rows are replaced by image features. */
  readonly imageTokenIndex?: number;
}

/** What states share. */
export interface DecoderParts {
  readonly backend: Backend;
  readonly config: GemmaConfig;
  /** The session for a run of so many tokens, those of all rows together, of which so many are asked for scores, with or without images. */
  readonly sessionFor: (tokens: number, asked: number, images: boolean) => Runner | Promise<Runner>;
  readonly picker: () => Promise<Session>;
  /** What scores some tokens alone; undefined where nothing does. */
  readonly someScores: (() => Promise<SomeScores>) | undefined;
  /** What finds the best tokens with less of the output layer; undefined where nothing does. */
  readonly screening: Screening | undefined;
  readonly imageTokenIndex: number | undefined;
}

/** The output layer for some tokens: see `someScoresGraph`. */
export interface SomeScores {
  readonly session: Session;
  readonly choices: Choices;
}

/** Compiles a decoder on a backend. Throws what `weights` and `backend` throw: missing tensors, wrong shapes, no runtime. */
export async function loadGemma(options: LoadGemmaOptions): Promise<GemmaDecoder> {
  const { config, checkpoint, backend, imageTokenIndex, finalSoftcap = false, slots, ...compile } = options;
  const images = imageTokenIndex !== undefined;
  const own = canonicalNames(checkpoint);
  const build = (few: DecoderGraphOptions["few"] = [], single?: "only" | "never"): GraphModel =>
    gemmaGraph(config, backend.target, own, { images, finalSoftcap, few, single, ...(slots && { slots }) });
  const shares = sharesWeights(backend.target, own);
  const model = build(hasFew(backend.target) ? ["asked"] : [], shares ? "never" : undefined);
  const pick = rowPicker(backend, config);
  let picker: Promise<Session> | undefined;
  /** Sessions that most callers need later or never, by the name of their graph. */
  const late = new Map<string, Promise<Session>>();
  let some: ReturnType<typeof someScoresGraph> | undefined;
  const made: AsyncDisposable[] = [];
  async function dispose(): Promise<void> {
    const pending = await Promise.allSettled([picker, ...late.values()]);
    late.clear();
    for (const { value } of pending.filter((one) => one.status === "fulfilled")) if (value) made.push(value);
    for (const part of made.splice(0)) await part[Symbol.asyncDispose]();
  }
  const how = {
    ...(compile.onProgress && { onProgress: compile.onProgress }),
    ...(compile.signal && { signal: compile.signal }),
  };
  async function compiled(graph: GraphModel): Promise<Session> {
    const session = await backend.compile(graph, how);
    made.push(session);
    return session;
  }
  async function layerwise(plan: LayerPlan): Promise<Layerwise> {
    const parts = { model, plan, config, backend, checkpoint: own, images, finalSoftcap };
    const runner = await Layerwise.create(parts, how);
    made.push(runner);
    return runner;
  }
  function compiledLate(name: string, graph: () => GraphModel): Promise<Session> {
    const known = late.get(name);
    if (known) return known;
    const session = backend.compile(graph());
    late.set(name, session);
    // Whoever asks again tries again.
    session.catch(() => late.delete(name));
    return session;
  }
  let sessionFor: DecoderParts["sessionFor"];
  try {
    const plan = planLayers(config, backend, own, slots);
    if (plan) {
      const prompt = await layerwise(plan);
      // Its weights are packed for seconds, which nobody waits for before the first token is there.
      const whole = async (): Promise<Session> => {
        // Nor is what prompts need there beside it.
        await prompt.rest();
        return await compiledLate("whole", () => model);
      };
      sessionFor = (tokens, _asked, withImages) => (withImages || tokens >= LAYERWISE_ROWS ? prompt : whole());
    } else if (hasFew(backend.target)) {
      const prompt = await compiled(model);
      const step = await compiled(build(["batch", "tokens", "asked"]));
      // Most callers never ask for many scores.
      const all = (): Promise<Session> => compiledLate("all", build);
      sessionFor = (tokens, asked) => (tokens <= FEW_ROWS ? step : asked <= FEW_ROWS ? prompt : all());
    } else if (shares) {
      const prompt = await compiled(model);
      // Nobody waits for them before the first token is there.
      const step = (): Promise<Session> => compiledLate("step", () => build([], "only"));
      const few = (): Promise<Session> => compiledLate("few", () => build(["batch", "tokens", "asked"]));
      sessionFor = (tokens, _asked, withImages) =>
        withImages || tokens > FEW_ROWS ? prompt : tokens === 1 ? step() : few();
    } else {
      const session = await compiled(model);
      sessionFor = () => session;
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  const screening = Screening.of({ config, backend, checkpoint: own, slots });
  if (screening) made.push(screening);
  const parts: DecoderParts = {
    backend,
    config,
    sessionFor,
    screening,
    picker: () => (picker ??= pick()),
    someScores: scoresSome(config, backend.target, own, slots)
      ? async () => {
          const { model: graph, choices } = (some ??= someScoresGraph(config, backend.target, own, { finalSoftcap }));
          return { session: await compiledLate("some scores", () => graph), choices };
        }
      : undefined,
    imageTokenIndex,
  };
  return {
    config,
    model,
    start: (prompt, start) => new DecoderState(parts, checkPrompt(prompt, parts), start),
    async logits(prompt, rows, { weights, signal } = {}) {
      using state = new DecoderState(parts, checkPrompt(prompt, parts), {
        expectedTokens: 0,
        ...(weights && { weights }),
        ...(signal && { signal }),
      });
      return await state.promptLogits(rows);
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

/** A prompt, row by row, with every default filled in. */
export interface CheckedPrompt {
  readonly ids: readonly number[][];
  readonly valid: readonly Uint8Array[];
  readonly types: readonly Uint8Array[];
  readonly features: NdArray | Tensor | undefined;
}

function checkPrompt(
  { inputIds, attentionMask, tokenTypeIds, imageFeatures }: Prompt,
  { config, imageTokenIndex }: DecoderParts,
): CheckedPrompt {
  const [batch, tokens] = inputIds.shape;
  const fail = (what: string): never => {
    throw new PaliGemmaError("gemma/prompt", what);
  };
  if (inputIds.shape.length !== 2 || !batch || !tokens)
    return fail(`inputIds are ${formatShape(inputIds.shape)}, a prompt is [batch, tokens] with at least one of each`);
  for (const [name, array] of Object.entries({ attentionMask, tokenTypeIds })) {
    if (array && array.shape.join() !== inputIds.shape.join())
      fail(`${name} is ${formatShape(array.shape)}, inputIds are ${formatShape(inputIds.shape)}; they must be alike`);
  }
  const rowsOf = (array: NdArray<"int64"> | undefined, missing: number): Uint8Array[] =>
    Array.from({ length: batch }, (_, b) =>
      array
        ? Uint8Array.from(array.data.subarray(b * tokens, (b + 1) * tokens), Number)
        : new Uint8Array(tokens).fill(missing),
    );
  const ids = Array.from({ length: batch }, (_, b) =>
    Array.from(inputIds.data.subarray(b * tokens, (b + 1) * tokens), Number),
  );
  let images = 0;
  for (const row of ids) {
    for (const id of row) {
      if (id === imageTokenIndex) images++;
      else if (id < 0 || id >= config.vocabSize)
        fail(`token id ${id} is outside the vocabulary of ${config.vocabSize}`);
    }
  }
  const valid = rowsOf(attentionMask, 1);
  valid.forEach((row, b) => row.includes(1) || fail(`row ${b} is all padding; give it at least one token`));
  const features = imageFeatures?.shape[0] ?? 0;
  if (features !== images)
    fail(
      `Image features and image tokens do not match: tokens: ${images}, features: ${features}. Each image needs its block of image tokens in inputIds, and each block its image`,
    );
  return { ids, valid, types: rowsOf(tokenTypeIds, imageTokenIndex === undefined ? 1 : 0), features: imageFeatures };
}
