import type { RunOptions, RunResult, Tensor } from "@paligemma/backend";
import { PaliGemmaError, type NdArray } from "@paligemma/core";
import { KeyValueCache } from "./cache.ts";
import type { CheckedPrompt, DecoderParts, SomeScores, StartOptions } from "./decoder.ts";
import type { Runner } from "./layerwise.ts";
import { positionsServed } from "./network.ts";
import { bestOf, type Scores } from "./scores.ts";
import { stepsAhead, type StepsAhead } from "./steps-ahead.ts";
import { chosenFor, columnsOf, pickColumns } from "./some-tokens.ts";
import { int64, placeAfter, stepFeeds, takenBy, type Place, type Tokens } from "./step.ts";

const DEFAULT_ROOM = 64;

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
  advanceGreedy(steps: number, stopAt: readonly number[], more?: number): Promise<readonly (readonly number[])[]>;
  logitsOf?(tokens: Int32Array): Promise<Scores>;
  advanceMany(runs: readonly (readonly number[])[], which: "last" | "every", tokens?: Int32Array): Promise<Scores>;
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
  /** What the cache holds. */
  #place: Place;
  #last: Scores | undefined;
  #hidden: Tensor | undefined;
  /** Steps under way that take in the one token that is pending, and what follows it. Whatever else is done lets them go. */
  #ahead: StepsAhead | undefined;
  #disposed = false;

  constructor(parts: DecoderParts, prompt: CheckedPrompt, options: StartOptions = {}) {
    this.#parts = parts;
    this.#signal = options.signal;
    this.#room = options.expectedTokens ?? DEFAULT_ROOM;
    this.#weights = options.weights ?? {};
    this.#pending = { ids: prompt.ids.map((row) => [...row]), prompt };
    this.#place = { valid: prompt.ids.map(() => new Uint8Array(0)), positions: prompt.ids.map(() => 0) };
  }

  /** Rows of the batch. */
  get rows(): number {
    return this.#place.positions.length;
  }

  /** Scores of the token after everything taken in. */
  async logits(): Promise<Scores> {
    if (!this.#last) this.#last = this.#scores(await this.#run(this.#lastRows()));
    return this.#last;
  }

  /**
   * The same of some tokens alone, ascending: most of the output layer is left out where they are few and the device can do without.
   * Asked in place of `logits`.
   */
  async logitsOf(tokens: Int32Array): Promise<Scores> {
    const some = this.#last ? undefined : await this.#parts.someScores?.();
    const chosen = some && chosenFor(tokens, some.choices, this.#parts.config.vocabSize);
    if (!chosen) return pickColumns(await this.logits(), tokens);
    const scores = this.#scores(await this.#runSome(some, chosen), "scores");
    return pickColumns(scores, columnsOf(tokens, chosen, some.choices));
  }

  /** Takes in one token per row; with `parents`, new row i continues old row `parents[i]`. */
  async advance(tokens: readonly number[], parents?: readonly number[]): Promise<void> {
    this.#check();
    this.#letGo();
    if (parents && (parents.length !== this.rows || parents.some((parent, i) => parent !== i)))
      await this.#pick(parents);
    this.#take(tokens.map((token) => [token]));
  }

  /**
   * Takes in the best token of each row, `steps` times or until every row has had one of `stopAt`; returns them. The steps follow each
   * other on the device, where it can; so do `more` of them, for calls to come.
   */
  async advanceGreedy(steps: number, stopAt: readonly number[], more = 0): Promise<readonly (readonly number[])[]> {
    this.#check();
    const chosen: number[][] = Array.from({ length: this.rows }, () => []);
    const stopped = chosen.map(() => false);
    for (let step = 0; step < steps && !stopped.every(Boolean); step++) {
      const next = this.#last ? bestOf(this.#last) : await this.#next(stopAt, steps - step, more);
      this.#take(next.map((token) => [token]));
      next.forEach((token, row) => {
        if (stopped[row]) return;
        chosen[row]!.push(token);
        stopped[row] = stopAt.includes(token);
      });
    }
    return chosen;
  }

  /**
   * Takes in `runs` [rows][length] in one run of the model; scores after the last, or after every, of these tokens: of all tokens, or
   * of those that `tokens` names.
   */
  async advanceMany(
    runs: readonly (readonly number[])[],
    which: "last" | "every",
    tokens?: Int32Array,
  ): Promise<Scores> {
    this.#check();
    this.#letGo();
    this.#take(runs);
    if (which === "last") return await (tokens ? this.logitsOf(tokens) : this.logits());
    const scores = await this.#afterEvery(runs);
    return tokens ? pickColumns(scores, tokens) : scores;
  }

  async #afterEvery(runs: readonly (readonly number[])[]): Promise<Scores> {
    const tokens = this.#pending.ids[0]!.length;
    const length = runs[0]!.length;
    const asked = runs.flatMap((_, row) => Array.from({ length }, (_unused, p) => row * tokens + tokens - length + p));
    return this.#scores(await this.#run(asked));
  }

  /** Forgets the last `count` tokens of every row. */
  rollback(count: number): Promise<void> {
    this.#check();
    this.#letGo();
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
      const { valid, positions } = this.#place;
      this.#place = {
        valid: valid.map((row) => row.slice(0, row.length - rest)),
        positions: positions.map((p, b) => p - valid[b]!.subarray(-rest).reduce((sum, v) => sum + v, 0)),
      };
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
    twin.#place = this.#place;
    twin.#last = this.#last;
    const all = this.#place.positions.map((_, i) => i);
    if (this.#cache) twin.#cache = await this.#cache.pick(all, await this.#parts.picker());
    return twin;
  }

  /** Logits of chosen rows of [batch · tokens] of the prompt, which must not have run yet. */
  async promptLogits(rows: readonly number[]): Promise<NdArray<"float32">> {
    const { host } = await this.#run(rows);
    return host["logits"] as NdArray<"float32">;
  }

  /** Frees the cache. A step that is under way is left to end by itself. */
  dispose(): void {
    this.#disposed = true;
    this.#letGo();
    this.#cache?.dispose();
    this.#cache = undefined;
    this.#hidden?.dispose();
    this.#hidden = undefined;
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
    const { valid, positions } = this.#place;
    this.#place = { valid: parents.map((p) => valid[p]!), positions: parents.map((p) => positions[p]!) };
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

  #scores({ host }: RunResult, output: "logits" | "scores" = "logits"): Scores {
    const logits = host[output]!;
    return { data: logits.data as Float32Array, rows: logits.shape[0]!, vocabulary: logits.shape[1]! };
  }

  /** The best token of each row, with steps under way for the `together` that are read at once and `more`. */
  async #next(stopAt: readonly number[], together: number, more: number): Promise<number[]> {
    this.#signal?.throwIfAborted();
    const pending = this.#pending;
    const known = await this.#ahead?.next();
    if (known && known !== "unsettled") return this.#chosenBy(known, pending);
    this.#letGo();
    const rows = this.#lastRows();
    const { cache, length } = await this.#makeRoom();
    if (length === 1 && !known) {
      this.#ahead = await stepsAhead(this.#parts, cache, this.#place, {
        first: pending.ids.map(([token]) => token!),
        wanted: together + more,
        together,
        stopAt,
        weights: this.#weights,
        signal: this.#signal,
      });
      const first = await this.#ahead?.next();
      if (first && first !== "unsettled") return this.#chosenBy(first, pending);
      this.#letGo();
    }
    return this.#chosenBy(await this.#ask(pending, rows, "next"), pending);
  }

  #letGo(): void {
    this.#ahead?.dispose();
    this.#ahead = undefined;
  }

  /** Counts in what has run, and returns the tokens that were chosen. */
  #chosenBy({ host }: RunResult, tokens: Tokens): number[] {
    this.#countIn(tokens);
    return Array.from(host["next"]!.data as BigInt64Array, Number);
  }

  /** Runs what is pending and hands out the logits of the asked rows. */
  #run(asked: readonly number[]): Promise<RunResult> {
    return this.#runPending((pending) => this.#ask(pending, asked, "logits"));
  }

  async #runPending(run: (pending: Pending) => Promise<RunResult>): Promise<RunResult> {
    this.#check();
    this.#signal?.throwIfAborted();
    this.#letGo();
    const pending = this.#pending;
    await this.#makeRoom();
    const result = await run(pending);
    this.#countIn(pending);
    return result;
  }

  /** A cache with room for what is pending, and the tokens that these are. */
  async #makeRoom(): Promise<{ readonly cache: KeyValueCache; readonly length: number }> {
    const { backend, config } = this.#parts;
    const { ids } = this.#pending;
    const { length } = ids[0]!;
    if (length === 0)
      throw new PaliGemmaError("gemma/order", "scores were asked for after a rollback; take in a token first");
    const total = this.#place.valid[0]!.length + length;
    if (total >= positionsServed(config))
      throw new PaliGemmaError(
        "gemma/length",
        `prompt and answer reach ${total} positions, the model has ${positionsServed(config)}; ask for fewer tokens or a shorter prompt`,
      );
    this.#cache ??= await KeyValueCache.create(backend, config, ids.length, length + this.#room);
    await this.#cache.reserve(length);
    return { cache: this.#cache, length };
  }

  /** The run that takes tokens in, for which there is room in the cache. */
  async #ask(tokens: Tokens, asked: readonly number[], output: "logits" | "next"): Promise<RunResult> {
    return await this.#begin(await this.#sessionFor(tokens, asked), tokens, asked, { host: [output] });
  }

  #sessionFor({ ids, prompt }: Tokens, asked: readonly number[]): Runner | Promise<Runner> {
    return this.#parts.sessionFor(ids.length * ids[0]!.length, asked.length, prompt?.features !== undefined);
  }

  #begin(
    session: Runner,
    tokens: Tokens,
    asked: readonly number[],
    { host = [], into = {} }: Pick<RunOptions, "host" | "into">,
    feeds: Readonly<Record<string, NdArray>> = {},
  ): Promise<RunResult> {
    const place = this.#place;
    const start = place.valid[0]!.length;
    const present = this.#cache!.present(start, start + tokens.ids[0]!.length);
    const all = { ...stepFeeds(this.#parts, this.#cache!, place, tokens, asked), ...this.#weights, ...feeds };
    return session.run(takenBy(session, all), {
      host,
      into: { ...present, ...into },
      ...(this.#signal && { signal: this.#signal }),
    });
  }

  /** Runs what is pending, and scores what is chosen after the last token of each row. */
  #runSome({ session: head }: SomeScores, chosen: readonly number[]): Promise<RunResult> {
    const asked = this.#lastRows();
    return this.#runPending(async (pending) => {
      const session = await this.#sessionFor(pending, asked);
      const hidden = await this.#hiddenFor(asked.length);
      const written = this.#begin(session, pending, asked, { into: { hidden } }, { scored_rows: int64([0], []) });
      if (session.inParts) await written;
      // Else asked for at once; the second finds what the first wrote.
      const [, scores] = await Promise.all([
        written,
        head.run(
          { hidden, chosen: int64([chosen.length], chosen) },
          { host: ["scores"], ...(this.#signal && { signal: this.#signal }) },
        ),
      ]);
      return scores;
    });
  }

  /** A place for what comes of the last layer, of so many rows. */
  async #hiddenFor(rows: number): Promise<Tensor> {
    if (this.#hidden?.shape[0] === rows) return this.#hidden;
    const { backend, config } = this.#parts;
    this.#hidden?.dispose();
    this.#hidden = undefined;
    const made = await backend.allocate("float32", [rows, config.hiddenSize]);
    if (this.#disposed) made.dispose();
    this.#check();
    return (this.#hidden = made);
  }

  #countIn(tokens: Tokens): void {
    // A state that was disposed meanwhile has no cache.
    if (this.#cache) this.#cache.length += tokens.ids[0]!.length;
    this.#place = placeAfter(this.#place, tokens);
    this.#pending = { ids: tokens.ids.map(() => []), prompt: undefined };
  }
}
