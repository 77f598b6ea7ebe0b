import { requantizable, rowsOfPanels, type Backend, type Feeds, type Session, type Tensor } from "@paligemma/backend";
import type { GemmaConfig } from "@paligemma/config";
import { isPaliGemmaError } from "@paligemma/core";
import {
  buildGraph,
  canScreen,
  checkpointWeights,
  UNSETTLED,
  type AdapterSlots,
  type GraphModel,
  type Screen,
  type Target,
} from "@paligemma/graph";
import type { Checkpoint, TensorRef } from "@paligemma/weights";
import { disposeAll } from "./dispose-all.ts";
import { scoresSome } from "./decoder-graph.ts";
import { bestTokens, headName, ownHead } from "./ends.ts";

// A greedy step reads the whole output layer to find one token: a fifth of all that it reads of PaliGemma 3B in float32. A copy of it in
// bytes tells which few tokens may be the best, and their rows settle it: the same token for a quarter of the reading.

/** Texts whose best tokens are looked for at once: more take longer than the whole output layer. */
export const MOST_SCREENED = 2;
/** Steps after which the copy is made, which takes as long as about as many of them save. */
const WORTH_STEPS = 32;
/** Where of so many steps as many as a quarter are left unsettled, it is given up: such a step is done twice. */
const [TRIED, MOST_UNSETTLED] = [16, 1 / 4];

/** What finds the best tokens: `session` takes `feeds` and `hidden` [rows, hidden size], and gives `next` int64 [rows, 1]. */
export interface TokenScreen {
  readonly session: Session;
  readonly feeds: Feeds;
}

interface ScreeningOptions {
  readonly config: GemmaConfig;
  readonly backend: Backend;
  readonly checkpoint: Checkpoint;
  readonly slots?: AdapterSlots | undefined;
}

/** The output layer in bytes, made when steps enough have shown that it is worth it. */
export class Screening implements AsyncDisposable {
  readonly #options: ScreeningOptions;
  readonly #head: TensorRef;
  readonly #made: (AsyncDisposable | Disposable)[] = [];
  #screen: Promise<TokenScreen> | undefined;
  #steps = 0;
  #screened = 0;
  #unsettled = 0;
  #givenUp = false;

  private constructor(options: ScreeningOptions, head: TensorRef) {
    this.#options = options;
    this.#head = head;
  }

  /** Undefined where the output layer is small, in float16 or quantised already, or the device has no products of bytes. */
  static of(options: ScreeningOptions): Screening | undefined {
    const { config, backend, checkpoint, slots } = options;
    const { target, requantize } = backend;
    if (!requantize || target.compute !== "float32" || !scoresSome(config, target, checkpoint, slots)) return undefined;
    const head = checkpoint.tensors.get(headName(config, ownHead(checkpoint)));
    const shape = [config.vocabSize, config.hiddenSize] as const;
    const fits = head && requantizable(head) && rowsOfPanels(shape) !== undefined && canScreen(shape);
    return fits ? new Screening(options, head) : undefined;
  }

  /** What finds the best tokens; undefined where it is not worth it yet, or any more, or there is no memory for it. */
  async ready(): Promise<TokenScreen | undefined> {
    if (this.#screened >= TRIED && this.#unsettled > this.#screened * MOST_UNSETTLED) this.#givenUp = true;
    if (this.#givenUp || this.#steps < WORTH_STEPS) return undefined;
    this.#screen ??= this.#make();
    try {
      return await this.#screen;
    } catch (error) {
      this.#screen = undefined;
      // Steps go on without, as exactly. Of everything else that went wrong the caller is told.
      if (!isPaliGemmaError(error) || error.code !== "backend/memory") throw error;
      this.#givenUp = true;
      return undefined;
    }
  }

  /** Steps that may be made before it is asked for again: those to go until it is worth it, or any number, once it was given up. */
  get stepsBefore(): number {
    return this.#givenUp ? Infinity : Math.max(0, WORTH_STEPS - this.#steps);
  }

  /** Counts a step, whether or not it was screened. */
  count(outcome: "whole" | "settled" | "unsettled"): void {
    this.#steps++;
    if (outcome === "whole") return;
    this.#screened++;
    if (outcome === "unsettled") this.#unsettled++;
  }

  async #make(): Promise<TokenScreen> {
    const { config, backend, checkpoint } = this.#options;
    const model = screenGraph(config, backend.target, checkpoint);
    const tensors: Record<string, Tensor> = {};
    try {
      for (const { name, dtype, shape } of model.inputs) {
        if (name === "hidden") continue;
        tensors[name] = await backend.allocate(dtype, shape.map(Number));
        this.#made.push(tensors[name]);
      }
      const { data, scales, sums, errors } = tensors as Record<keyof Screen, Tensor>;
      await backend.requantize!([{ matrix: this.#head, data, scales, sums, errors }]);
      const session = await backend.compile(model);
      this.#made.push(session);
      return { session, feeds: tensors };
    } catch (error) {
      await disposeAll(this.#made.splice(0));
      throw error;
    }
  }

  async dispose(): Promise<void> {
    await this.#screen?.catch(() => undefined);
    this.#screen = undefined;
    await disposeAll(this.#made.splice(0));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** True for a result of a screened step that does not tell the best token of some text. */
export function isUnsettled(next: BigInt64Array): boolean {
  return next.includes(BigInt(UNSETTLED));
}

function screenGraph(config: GemmaConfig, target: Target, checkpoint: Checkpoint): GraphModel {
  const shape = [config.vocabSize, config.hiddenSize] as const;
  const [out, width] = shape;
  const rows = rowsOfPanels(shape)!;
  return buildGraph("gemma, best tokens", target, (g) => {
    const root = checkpointWeights(g, checkpoint);
    const hidden = g.input("hidden", "float32", ["rows", width]);
    const perRow = [out / rows, 1, rows];
    const screen: Screen = {
      data: g.input("data", "int8", [out / rows, width, rows]),
      scales: g.input("scales", "float32", perRow),
      sums: g.input("sums", "int32", perRow),
      errors: g.input("errors", "float32", perRow),
    };
    return { next: bestTokens(hidden, screen, root, config) };
  });
}
