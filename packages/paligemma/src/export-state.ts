import type { Session, Tensor } from "@paligemma/backend";
import type { PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError, fromFloat32, toFloat32, zeros, type NdArray } from "@paligemma/core";
import type { Scores, TextState } from "@paligemma/gemma";

/** The three compiled graphs of an export. */
export interface ExportSessions {
  readonly config: PaliGemmaConfig;
  readonly vision: Session;
  readonly embed: Session;
  readonly decoder: Session;
}

/** Keys and values up to some token, on the device; shared by whoever continues it. */
class Cache {
  readonly length: number;
  readonly #tensors: Readonly<Record<string, Tensor>>;
  #holders = 1;

  constructor(length: number, present: Readonly<Record<string, Tensor>>) {
    this.length = length;
    this.#tensors = Object.fromEntries(
      Object.entries(present).map(([name, tensor]) => [name.replace("present", "past_key_values"), tensor]),
    );
  }

  get feeds(): Readonly<Record<string, Tensor>> {
    return this.#tensors;
  }

  hold(): this {
    this.#holders += 1;
    return this;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders === 0) for (const tensor of Object.values(this.#tensors)) tensor.dispose();
  }
}

/** What one run of the decoder gave. */
export interface Step {
  readonly cache: Cache;
  /** [tokens or fewer, vocabulary]: of the last tokens of the run. */
  readonly logits: Float32Array;
}

/**
 * Runs the decoder of an export on tokens of one row, with `features` in the places of image tokens. Without `all`, only
 * logits of the last token are asked for, where the graph can be asked.
 */
export async function runStep(
  { config, embed, decoder }: ExportSessions,
  ids: readonly number[],
  before: Cache | undefined,
  options: { readonly features?: Float32Array; readonly all?: boolean; readonly signal?: AbortSignal },
): Promise<Step> {
  const { features, all = false, signal } = options;
  const run = signal ? { signal } : {};
  const { hiddenSize } = config.text;
  const isImage = (id: number): boolean => features !== undefined && id === config.imageTokenIndex;
  const inputIds = int64([1, ids.length], ids);
  const { host } = await embed.run({ input_ids: inputIds }, { host: ["inputs_embeds"], ...run });
  const embeds = toFloat32(host["inputs_embeds"]!);
  let next = 0;
  ids.forEach((id, i) => {
    if (isImage(id)) embeds.data.set(features!.subarray(next, (next += hiddenSize)), i * hiddenSize);
  });
  const past = before?.length ?? 0;
  const total = past + ids.length;
  const feeds: Record<string, NdArray | Tensor> = {};
  for (const { name, dtype, shape } of decoder.model.inputs) {
    if (name === "inputs_embeds") feeds[name] = fromFloat32(embeds, dtype as "float32");
    else if (name === "position_ids")
      feeds[name] = int64(
        [1, ids.length],
        ids.map((_, i) => past + i + 1),
      );
    else if (name === "attention_mask")
      feeds[name] = int64(
        [1, total],
        Array.from({ length: total }, () => 1),
      );
    else if (name === "num_logits_to_keep") feeds[name] = int64([], [all ? 0 : 1]);
    else feeds[name] = before?.feeds[name] ?? zeros(dtype, [1, shape[1] as number, 0, shape[3] as number]);
  }
  const present = decoder.model.outputs.map(({ name }) => name).filter((name) => name.startsWith("present."));
  const result = await decoder.run(feeds, { host: ["logits"], device: present, ...run });
  return { cache: new Cache(total, result.device), logits: toFloat32(result.host["logits"]!).data };
}

function int64(shape: readonly number[], values: readonly number[]): NdArray<"int64"> {
  return { dtype: "int64", shape, data: BigInt64Array.from(values, BigInt) };
}

/** One text: the tokens after its prompt, and the caches of the prompt and of as many of them as have run. */
interface Row {
  readonly prompt: Cache;
  readonly promptScores: Float32Array;
  readonly tokens: readonly number[];
  readonly cache: Cache;
  /** Scores after the tokens that have run. */
  readonly scores: Float32Array;
}

/** Texts written by an export, each row by itself: such graphs have no mask, so a batch of unequal rows would be wrong. */
export class ExportState implements TextState {
  readonly dropsFinishedRows = true;
  readonly #sessions: ExportSessions;
  readonly #signal: AbortSignal | undefined;
  #texts: Row[];

  /** `prompts` have run; the state takes their caches over. */
  constructor(sessions: ExportSessions, prompts: readonly Step[], signal: AbortSignal | undefined) {
    this.#sessions = sessions;
    this.#signal = signal;
    const { vocabSize } = sessions.config.text;
    this.#texts = prompts.map(({ cache, logits }) => {
      const scores = logits.slice(-vocabSize);
      return { prompt: cache, promptScores: scores, tokens: [], cache: cache.hold(), scores };
    });
  }

  get rows(): number {
    return this.#texts.length;
  }

  async logits(): Promise<Scores> {
    for (const [i, row] of this.#texts.entries()) this.#texts[i] = await this.#caughtUp(row);
    return this.#joined(this.#texts.map(({ scores }) => scores));
  }

  async advance(tokens: readonly number[], parents?: readonly number[]): Promise<void> {
    const chosen = parents ?? this.#texts.map((_, i) => i);
    if (tokens.length !== chosen.length)
      throw new PaliGemmaError("paligemma/rows", `${tokens.length} tokens for ${chosen.length} rows; give one per row`);
    // What was taken in before must run first where one row becomes several, so that it runs once.
    if (parents) await this.logits();
    const before = this.#texts;
    this.#texts = chosen.map((parent, i) => {
      const row = held(before[parent]!);
      return { ...row, tokens: [...row.tokens, tokens[i]!] };
    });
    before.forEach(release);
  }

  async advanceGreedy(steps: number, stopAt: readonly number[]): Promise<readonly (readonly number[])[]> {
    const chosen: number[][] = this.#texts.map(() => []);
    const stopped = chosen.map(() => false);
    for (let step = 0; step < steps && !stopped.every(Boolean); step++) {
      const { data, vocabulary } = await this.logits();
      const next = chosen.map((_, row) => bestOf(data.subarray(row * vocabulary, (row + 1) * vocabulary)));
      await this.advance(next);
      next.forEach((token, row) => {
        if (stopped[row]) return;
        chosen[row]!.push(token);
        stopped[row] = stopAt.includes(token);
      });
    }
    return chosen;
  }

  async advanceMany(runs: readonly (readonly number[])[], which: "last" | "every"): Promise<Scores> {
    const every: Float32Array[][] = runs.map(() => []);
    for (let step = 0; step < runs[0]!.length; step++) {
      await this.advance(runs.map((run) => run[step]!));
      await this.logits();
      this.#texts.forEach((row, i) => every[i]!.push(row.scores));
    }
    return this.#joined(which === "every" ? every.flat() : every.map((scores) => scores.at(-1)!));
  }

  /** Tokens that remain run once more: a cache cannot be cut. */
  rollback(count: number): Promise<void> {
    this.#texts = this.#texts.map((row) => {
      if (count > row.tokens.length)
        throw new PaliGemmaError(
          "paligemma/rollback",
          `cannot forget ${count} tokens, only ${row.tokens.length} are there`,
        );
      row.cache.release();
      const tokens = row.tokens.slice(0, row.tokens.length - count);
      return { ...row, tokens, cache: row.prompt.hold(), scores: row.promptScores };
    });
    return Promise.resolve();
  }

  fork(): Promise<ExportState> {
    const twin = new ExportState(this.#sessions, [], this.#signal);
    twin.#texts = this.#texts.map(held);
    return Promise.resolve(twin);
  }

  dispose(): void {
    this.#texts.forEach(release);
    this.#texts = [];
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The row with all its tokens run. */
  async #caughtUp(row: Row): Promise<Row> {
    let { cache, scores } = row;
    for (let ran = cache.length - row.prompt.length; ran < row.tokens.length; ran++) {
      this.#signal?.throwIfAborted();
      const step = await runStep(
        this.#sessions,
        [row.tokens[ran]!],
        cache,
        this.#signal ? { signal: this.#signal } : {},
      );
      cache.release();
      cache = step.cache;
      scores = step.logits.slice(-this.#sessions.config.text.vocabSize);
    }
    return { ...row, cache, scores };
  }

  #joined(rows: readonly Float32Array[]): Scores {
    const vocabulary = this.#sessions.config.text.vocabSize;
    const data = new Float32Array(rows.length * vocabulary);
    rows.forEach((row, i) => data.set(row, i * vocabulary));
    return { data, rows: rows.length, vocabulary };
  }
}

function held(row: Row): Row {
  row.prompt.hold();
  row.cache.hold();
  return row;
}

function release(row: Row): void {
  row.prompt.release();
  row.cache.release();
}

/** The likeliest token, the lowest id of equals. */
function bestOf(scores: Float32Array): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
  return best;
}
