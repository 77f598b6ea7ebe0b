import type { Backend, Tensor } from "@paligemma/backend";
import { releasedTensors, type PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError, fromFloat32, nearest, toFloat32, zeros, type NdArray } from "@paligemma/core";
import { ADAPTER_INPUT, type AdapterSlots, type GraphModel } from "@paligemma/graph";
import {
  castTensor,
  mergeAdapter,
  readTensor,
  type Adapter,
  type Checkpoint,
  type TensorRef,
} from "@paligemma/weights";

const TABLE = "language_model.model.embed_tokens.weight";
/** The output layer under its released name. */
export const HEAD = "language_model.lm_head.weight";

/**
 * Adapters that are kept apart from the weights and swapped while the model stays loaded. Low-rank updates of linear layers and
 * of the token table are small inputs of the graphs; whatever else an adapter changes (modules saved whole, DoRA,
 * convolutions, biases, the output layer) is such an input as a whole, merged once when the adapter is added. All of them
 * are on the device, so using another one moves nothing.
 */
export class AdapterSet implements Disposable {
  /** Places in the graphs, for the adapters that the model was loaded with. */
  readonly slots: AdapterSlots;
  readonly #backend: Backend;
  readonly #checkpoint: Checkpoint;
  readonly #config: PaliGemmaConfig;
  readonly #base = new Map<string, Tensor>();
  readonly #own = new Map<string, ReadonlyMap<string, Tensor>>();
  #used: string | null = null;

  private constructor(backend: Backend, config: PaliGemmaConfig, checkpoint: Checkpoint, slots: AdapterSlots) {
    this.#backend = backend;
    this.#config = config;
    this.#checkpoint = checkpoint;
    this.slots = slots;
  }

  /** Adapters of a checkpoint under released names; none is in use yet. Throws `weights/adapter` for one that does not fit. */
  static async create(
    backend: Backend,
    config: PaliGemmaConfig,
    checkpoint: Checkpoint,
    adapters: Readonly<Record<string, Adapter>>,
    signal?: AbortSignal,
  ): Promise<AdapterSet> {
    const set = new AdapterSet(backend, config, checkpoint, slotsFor(Object.values(adapters)));
    try {
      for (const name of set.slots.whole) set.#base.set(name, await set.#upload(set.#weight(checkpoint, name), signal));
      for (const name of set.slots.lowRank) {
        const [out, width] = set.#shapeOf(name);
        const a = name === TABLE ? [out, 1] : [1, width];
        const b = name === TABLE ? [width, 1] : [out, 1];
        set.#base.set(`${name}:a`, await backend.upload(zeros(backend.target.compute, a)));
        set.#base.set(`${name}:b`, await backend.upload(zeros(backend.target.compute, b)));
      }
      for (const [name, adapter] of Object.entries(adapters)) await set.add(name, adapter, signal);
    } catch (error) {
      set.dispose();
      throw error;
    }
    return set;
  }

  /** Names of the adapters that are there. */
  get names(): readonly string[] {
    return [...this.#own.keys()];
  }

  /** The one in use, or null for the model as it is. */
  get used(): string | null {
    return this.#used;
  }

  /**
   * Uses another adapter from the next prompt on, or none. Nothing is loaded or compiled; answers that are being written keep
   * the adapter that they began with. Throws `paligemma/adapter` for a name that is not there.
   */
  use(name: string | null): void {
    if (name !== null && !this.#own.has(name)) {
      const meant = nearest(name, this.names);
      throw new PaliGemmaError(
        "paligemma/adapter",
        `there is no adapter ${name}${meant ? `; is ${meant} meant?` : ""}. There are ${this.names.join(", ") || "none"}`,
      );
    }
    this.#used = name;
  }

  /**
   * Adds one more adapter. It may change no more than those that the model was loaded with: for other layers the graphs have no
   * place. Throws `paligemma/adapter`, `weights/adapter`.
   */
  async add(name: string, adapter: Adapter, signal?: AbortSignal): Promise<void> {
    if (this.#own.has(name))
      throw new PaliGemmaError("paligemma/adapter", `there is an adapter ${name} already; remove it first`);
    const { whole, lowRank } = this.slots;
    const needed = slotsFor([adapter]);
    const homeless = [
      ...[...needed.whole].filter((weight) => !whole.has(weight)),
      ...[...needed.lowRank].filter((weight) => !whole.has(weight) && !lowRank.has(weight)),
    ];
    if (homeless.length > 0)
      throw new PaliGemmaError(
        "paligemma/adapter",
        `${adapter.name} changes ${homeless[0]}${homeless.length > 1 ? ` and ${homeless.length - 1} more` : ""}, for which no place was made; name it among the adapters when the model is loaded`,
      );
    const { checkpoint: merged } = mergeAdapter(this.#checkpoint, adapter);
    const tensors = new Map<string, Tensor>();
    try {
      for (const weight of whole) {
        const ref = this.#weight(merged, weight);
        if (ref !== this.#weight(this.#checkpoint, weight)) tensors.set(weight, await this.#upload(ref, signal));
      }
      for (const [weight, update] of adapter.updates) {
        if (!lowRank.has(weight)) continue;
        const a = toFloat32(await readTensor(update.a, signal));
        const b = toFloat32(await readTensor(update.b, signal));
        const scaled = { ...b, data: b.data.map((x) => x * update.scale) };
        tensors.set(`${weight}:a`, await this.#send(weight === TABLE ? transposed(a) : a));
        tensors.set(`${weight}:b`, await this.#send(scaled));
      }
    } catch (error) {
      for (const tensor of tensors.values()) tensor.dispose();
      throw error;
    }
    this.#own.set(name, tensors);
  }

  /** Frees an adapter that no answer is being written with. Where it was in use, the model is used as it is. */
  remove(name: string): void {
    for (const tensor of this.#own.get(name)?.values() ?? []) tensor.dispose();
    this.#own.delete(name);
    if (this.#used === name) this.#used = null;
  }

  /** What a graph must be fed so that it computes with the adapter in use. */
  feedsOf({ inputs }: GraphModel): Readonly<Record<string, Tensor>> {
    const own = this.#used === null ? undefined : this.#own.get(this.#used);
    const feeds: Record<string, Tensor> = {};
    for (const { name } of inputs) {
      if (!name.startsWith(ADAPTER_INPUT)) continue;
      const place = name.slice(ADAPTER_INPUT.length);
      feeds[name] = own?.get(place) ?? this.#base.get(place)!;
    }
    return feeds;
  }

  dispose(): void {
    for (const tensors of [this.#base, ...this.#own.values()]) for (const tensor of tensors.values()) tensor.dispose();
    this.#base.clear();
    this.#own.clear();
    this.#used = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #shapeOf(name: string): readonly [number, number] {
    const [out = 0, width = 0] = releasedTensors(this.#config).get(name) ?? [];
    return [out, width];
  }

  /** A weight under its name; the output layer of a tied model is the token table. */
  #weight({ tensors }: Checkpoint, name: string): TensorRef {
    const ref = tensors.get(name) ?? (name === HEAD ? tensors.get(TABLE) : undefined);
    if (ref) return ref;
    throw new PaliGemmaError(
      "paligemma/adapter",
      `an adapter changes ${name} as a whole, which the checkpoint does not have as plain numbers; merge the adapter before quantising`,
    );
  }

  async #upload(ref: TensorRef, signal: AbortSignal | undefined): Promise<Tensor> {
    return await this.#send(toFloat32(await readTensor(castTensor(ref, "float32"), signal)));
  }

  async #send(values: NdArray<"float32">): Promise<Tensor> {
    return await this.#backend.upload(fromFloat32(values, this.#backend.target.compute));
  }
}

/** Where the graphs need inputs so that all of these adapters can be used. */
function slotsFor(adapters: readonly Adapter[]): AdapterSlots {
  const whole = new Set<string>();
  const updated = new Set<string>();
  for (const { updates, replacements } of adapters) {
    for (const name of replacements.keys()) whole.add(name);
    for (const [name, { a, magnitude, bias }] of updates) {
      const plain = a.shape.length === 2 && magnitude === undefined && name !== HEAD;
      (plain ? updated : whole).add(name);
      if (bias) whole.add(name.replace(/\.weight$/, ".bias"));
    }
  }
  // A table of its own must not become the output layer's as well.
  if (whole.has(TABLE)) whole.add(HEAD);
  return { whole, lowRank: new Set([...updated].filter((name) => !whole.has(name))) };
}

/** [rank, tokens] → [tokens, rank] */
function transposed({ shape: [rows = 0, columns = 0], data }: NdArray<"float32">): NdArray<"float32"> {
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j]!;
  return { dtype: "float32", shape: [columns, rows], data: out };
}
