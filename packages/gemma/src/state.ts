import type { RunResult, Tensor } from "@paligemma/backend";
import { PaliGemmaError, fromFloat32, zeros, type NdArray } from "@paligemma/core";
import { KeyValueCache } from "./cache.ts";
import type { CheckedPrompt, DecoderParts, StartOptions } from "./decoder.ts";
import { hasWindow } from "./decoder-graph.ts";
import { gridOf, type Grid } from "./grid.ts";
import { prefixLmMask } from "./mask.ts";
import { MAX_POSITIONS } from "./network.ts";

const DEFAULT_ROOM = 64;

/** Scores of tokens: [rows, vocabulary]. */
export interface Scores {
  readonly data: Float32Array;
  readonly rows: number;
  readonly vocabulary: number;
}

/** Tokens that were taken in but did not run yet; they run together when scores are asked for. */
interface Pending {
  /** [batch][tokens] */
  ids: number[][];
  /** The prompt's own: only its first run has a prefix, padding and images. */
  readonly prompt: CheckedPrompt | undefined;
}

/** A batch of texts being written, whatever writes them: a `LogitsSource` of `@paligemma/generation`, whole. */
export interface TextState extends Disposable {
  readonly rows: number;
  readonly dropsFinishedRows: boolean;
  logits(): Promise<Scores>;
  advance(tokens: readonly number[], parents?: readonly number[]): Promise<void>;
  advanceGreedy(steps: number, stopAt: readonly number[]): Promise<readonly (readonly number[])[]>;
  advanceMany(runs: readonly (readonly number[])[], which: "last" | "every"): Promise<Scores>;
  rollback(count: number): Promise<void>;
  fork(): Promise<TextState>;
  dispose(): void;
}

/**
 * A batch of texts being written: their cache on the device, and what was taken in since. It is a `LogitsSource` of
 * `@paligemma/generation`. One call at a time; the caller disposes it.
 */
export class DecoderState implements TextState {
  /** Finished rows are better left out: they would cost as much as the others. */
  readonly dropsFinishedRows = true;
  readonly #parts: DecoderParts;
  readonly #signal: AbortSignal | undefined;
  readonly #room: number;
  readonly #weights: Readonly<Record<string, Tensor>>;
  #cache: KeyValueCache | undefined;
  #pending: Pending;
  /** Per row, 1 for each position in the cache that is no padding. */
  #valid: Uint8Array[];
  /** Per row, the number of real tokens in the cache: the position of the last one. */
  #positions: number[];
  #last: Scores | undefined;
  #disposed = false;

  constructor(parts: DecoderParts, prompt: CheckedPrompt, options: StartOptions = {}) {
    this.#parts = parts;
    this.#signal = options.signal;
    this.#room = options.expectedTokens ?? DEFAULT_ROOM;
    this.#weights = options.weights ?? {};
    this.#pending = { ids: prompt.ids.map((row) => [...row]), prompt };
    this.#valid = prompt.ids.map(() => new Uint8Array(0));
    this.#positions = prompt.ids.map(() => 0);
  }

  /** Rows of the batch. */
  get rows(): number {
    return this.#positions.length;
  }

  /** Scores of the token after everything taken in. */
  async logits(): Promise<Scores> {
    if (!this.#last) this.#last = this.#scores(await this.#run("logits", this.#lastRows()));
    return this.#last;
  }

  /** Takes in one token per row; with `parents`, new row i continues old row `parents[i]`. */
  async advance(tokens: readonly number[], parents?: readonly number[]): Promise<void> {
    this.#check();
    if (parents && (parents.length !== this.rows || parents.some((parent, i) => parent !== i)))
      await this.#pick(parents);
    this.#take(tokens.map((token) => [token]));
  }

  /** Takes in the best token of each row, `steps` times or until every row has had one of `stopAt`; returns them. */
  async advanceGreedy(steps: number, stopAt: readonly number[]): Promise<readonly (readonly number[])[]> {
    const chosen: number[][] = Array.from({ length: this.rows }, () => []);
    const stopped = chosen.map(() => false);
    for (let step = 0; step < steps && !stopped.every(Boolean); step++) {
      const next = this.#last ? bestOf(this.#last) : await this.#next();
      this.#take(next.map((token) => [token]));
      next.forEach((token, row) => {
        if (stopped[row]) return;
        chosen[row]!.push(token);
        stopped[row] = stopAt.includes(token);
      });
    }
    return chosen;
  }

  /** Takes in `runs` [rows][length] in one run of the model; scores after the last, or after every, of these tokens. */
  async advanceMany(runs: readonly (readonly number[])[], which: "last" | "every"): Promise<Scores> {
    this.#check();
    this.#take(runs);
    if (which === "last") return await this.logits();
    const tokens = this.#pending.ids[0]!.length;
    const length = runs[0]!.length;
    const asked = runs.flatMap((_, row) => Array.from({ length }, (_unused, p) => row * tokens + tokens - length + p));
    return this.#scores(await this.#run("logits", asked));
  }

  /** Forgets the last `count` tokens of every row. */
  rollback(count: number): Promise<void> {
    this.#check();
    const waiting = this.#pending.prompt ? 0 : Math.min(count, this.#pending.ids[0]?.length ?? 0);
    for (const row of this.#pending.ids) row.length -= waiting;
    const rest = count - waiting;
    if (rest > 0) {
      if (!this.#cache || rest > this.#cache.length) {
        throw new PaliGemmaError(
          "gemma/rollback",
          `cannot forget ${count} tokens, only ${(this.#cache?.length ?? 0) + waiting} are there`,
        );
      }
      this.#cache.length -= rest;
      this.#valid = this.#valid.map((row, b) => {
        this.#positions[b]! -= row.subarray(row.length - rest).reduce((sum, v) => sum + v, 0);
        return row.slice(0, row.length - rest);
      });
    }
    this.#last = undefined;
    return Promise.resolve();
  }

  /** A second state like this one, which goes on independently; with `signal`, for another caller. */
  async fork(options: { readonly signal?: AbortSignal | undefined } = { signal: this.#signal }): Promise<DecoderState> {
    this.#check();
    const empty: CheckedPrompt = { ids: [], valid: [], types: [], features: undefined };
    const twin = new DecoderState(this.#parts, this.#pending.prompt ?? empty, {
      expectedTokens: this.#room,
      weights: this.#weights,
      ...(options.signal && { signal: options.signal }),
    });
    twin.#pending = { ids: this.#pending.ids.map((row) => [...row]), prompt: this.#pending.prompt };
    twin.#valid = [...this.#valid];
    twin.#positions = [...this.#positions];
    twin.#last = this.#last;
    const all = this.#positions.map((_, i) => i);
    if (this.#cache) twin.#cache = await this.#cache.pick(all, await this.#parts.picker());
    return twin;
  }

  /** Logits of chosen rows of [batch · tokens] of the prompt, which must not have run yet. */
  async promptLogits(rows: readonly number[]): Promise<NdArray<"float32">> {
    const { host } = await this.#run("logits", rows);
    return host["logits"] as NdArray<"float32">;
  }

  /** Frees the cache. */
  dispose(): void {
    this.#disposed = true;
    this.#cache?.dispose();
    this.#cache = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #check(): void {
    if (this.#disposed) throw new PaliGemmaError("gemma/disposed", "this decoder state was disposed; start a new one");
  }

  #take(runs: readonly (readonly number[])[]): void {
    if (runs.length !== this.rows)
      throw new PaliGemmaError(
        "gemma/rows",
        `${runs.length} rows of tokens for ${this.rows} rows; give one token per row, or parents`,
      );
    this.#last = undefined;
    runs.forEach((run, row) => this.#pending.ids[row]!.push(...run));
  }

  async #pick(parents: readonly number[]): Promise<void> {
    // The prompt runs once, before its rows are multiplied.
    if (this.#pending.prompt) await this.logits();
    if (this.#cache) {
      const picked = await this.#cache.pick(parents, await this.#parts.picker());
      this.#cache.dispose();
      this.#cache = picked;
    }
    this.#pending = { ids: parents.map((p) => [...this.#pending.ids[p]!]), prompt: undefined };
    this.#valid = parents.map((p) => this.#valid[p]!);
    this.#positions = parents.map((p) => this.#positions[p]!);
    this.#last = undefined;
  }

  /** For each row of the batch, the row of [batch · tokens] of its last real token. */
  #lastRows(): readonly number[] {
    const { ids, prompt } = this.#pending;
    return ids.map((row, b) => {
      const beyond = prompt && row.length > prompt.ids[b]!.length;
      const last = prompt && !beyond ? prompt.valid[b]!.lastIndexOf(1) : row.length - 1;
      return b * row.length + last;
    });
  }

  #scores({ host }: RunResult): Scores {
    const logits = host["logits"]!;
    return { data: logits.data as Float32Array, rows: logits.shape[0]!, vocabulary: logits.shape[1]! };
  }

  async #next(): Promise<number[]> {
    const { host } = await this.#run("next", this.#lastRows());
    return Array.from(host["next"]!.data as BigInt64Array, Number);
  }

  /** Runs what is pending and hands out `output` of the asked rows. */
  async #run(output: "logits" | "next", asked: readonly number[]): Promise<RunResult> {
    this.#check();
    this.#signal?.throwIfAborted();
    const { backend, config } = this.#parts;
    const { ids, prompt } = this.#pending;
    const batch = ids.length;
    const tokens = ids[0]!.length;
    if (tokens === 0)
      throw new PaliGemmaError("gemma/order", "scores were asked for after a rollback; take in a token first");
    const valid = ids.map((_, b) => appended(this.#valid[b]!, prompt?.valid[b], tokens, 1));
    const past = valid[0]!.length - tokens;
    const limit = Math.min(config.maxPositionEmbeddings, MAX_POSITIONS);
    if (past + tokens >= limit)
      throw new PaliGemmaError(
        "gemma/length",
        `prompt and answer reach ${past + tokens} positions, the model has ${limit}; ask for fewer tokens or a shorter prompt`,
      );
    const types = prompt && ids.map((_, b) => appended(new Uint8Array(0), prompt.types[b], tokens, 1));
    this.#cache ??= await KeyValueCache.create(backend, config, batch, tokens + this.#room);
    await this.#cache.reserve(tokens);

    const { compute } = backend.target;
    const grid = gridOf(backend.target, batch, tokens);
    const mask = { valid, tokens, compute, ...(types && { types }) };
    const feeds: Record<string, NdArray | Tensor> = {
      input_ids: int64(
        grid.shape,
        grid.inOrder(ids.flatMap((row) => row.map((id) => (id === this.#parts.imageTokenIndex ? 0 : id)))),
      ),
      position_ids: int64(
        grid.shape,
        grid.inOrder(ids.flatMap((_, b) => positionsOf(valid[b]!, past, this.#positions[b]!))),
      ),
      mask: prefixLmMask(mask),
      logit_rows: int64(
        [asked.length],
        asked.map((row) => grid.place(row)),
      ),
      ...this.#cache.past(),
      ...this.#images(ids, prompt, grid),
      ...this.#weights,
    };
    if (hasWindow(config)) feeds["sliding_mask"] = prefixLmMask({ ...mask, window: config.slidingWindow });
    const result = await this.#parts.sessionFor(batch * tokens).run(feeds, {
      host: [output],
      into: this.#cache.present(tokens),
      ...(this.#signal && { signal: this.#signal }),
    });
    this.#cache.length += tokens;
    this.#positions = this.#positions.map(
      (before, b) => before + valid[b]!.subarray(past).reduce((sum, v) => sum + v, 0),
    );
    this.#valid = valid;
    this.#pending = { ids: ids.map(() => []), prompt: undefined };
    return result;
  }

  #images(ids: readonly number[][], prompt: CheckedPrompt | undefined, grid: Grid): Record<string, NdArray | Tensor> {
    const { imageTokenIndex, backend, config } = this.#parts;
    if (imageTokenIndex === undefined) return {};
    const features = prompt?.features;
    let next = 0;
    const flat = ids.flat();
    const isImage = flat.map((id) => (features && id === imageTokenIndex ? 1 : 0));
    const index = flat.map((_, i) => (isImage[i] ? next++ : 0));
    const { compute } = backend.target;
    return {
      image_features: features
        ? features.dtype === "float32" && compute !== "float32" && "data" in features
          ? fromFloat32(features as NdArray<"float32">, compute)
          : features
        : zeros(compute, [1, config.hiddenSize]),
      image_index: int64(grid.shape, grid.inOrder(index)),
      is_image: { dtype: "bool", shape: [...grid.shape, 1], data: Uint8Array.from(grid.inOrder(isImage)) },
    };
  }
}

/** The best token of each row, the lowest id of equals, as the graph chooses it. */
function bestOf({ data, rows, vocabulary }: Scores): number[] {
  return Array.from({ length: rows }, (_, row) => {
    let best = row * vocabulary;
    for (let i = best + 1; i < (row + 1) * vocabulary; i++) if (data[i]! > data[best]!) best = i;
    return best - row * vocabulary;
  });
}

function int64(shape: readonly number[], values: readonly number[]): NdArray<"int64"> {
  return { dtype: "int64", shape, data: BigInt64Array.from(values, BigInt) };
}

/** `before`, then `own`, then `rest` up to `tokens` more entries. */
function appended(before: Uint8Array, own: Uint8Array | undefined, tokens: number, rest: number): Uint8Array {
  const joined = new Uint8Array(before.length + tokens).fill(rest);
  joined.set(before);
  if (own) joined.set(own, before.length);
  return joined;
}

/** Positions of the tokens after `past`: real tokens count from 1 on, pads have the position of what stands before them. */
function positionsOf(valid: Uint8Array, past: number, before: number): number[] {
  const out: number[] = [];
  for (let i = past; i < valid.length; i++) {
    before += valid[i]!;
    out.push(Math.max(before, 1));
  }
  return out;
}
