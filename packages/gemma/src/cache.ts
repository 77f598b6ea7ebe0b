import type { Backend, Session, Tensor } from "@paligemma/backend";
import type { GemmaConfig } from "@paligemma/config";
import { buildGraph, gather } from "@paligemma/graph";
import { cacheNames } from "./decoder-graph.ts";

/** The least capacity of a new cache, in positions. */
const MIN_CAPACITY = 64;

/** Compiles (once) the small graph that picks rows of a batch: x [past, batch, width], parents [rows] → [past, rows, width]. */
export function rowPicker(backend: Backend, config: GemmaConfig): () => Promise<Session> {
  const width = config.numKeyValueHeads * config.headDim;
  let session: Promise<Session> | undefined;
  return () => {
    session ??= backend.compile(
      buildGraph("pick-rows", backend.target, (g) => ({
        picked: gather(
          g.input("x", g.target.compute, ["past", "batch", width]),
          g.input("parents", "int64", ["rows"]),
          1,
        ),
      })),
    );
    return session;
  };
}

/** Keys and values of every layer, on the device, with room to grow: [capacity, batch, width] each. */
export class KeyValueCache implements Disposable {
  /** Positions in use. */
  length = 0;
  readonly batch: number;
  readonly #backend: Backend;
  readonly #config: GemmaConfig;
  readonly #names: readonly string[];
  readonly #tensors: Tensor[];
  #capacity: number;

  private constructor(backend: Backend, config: GemmaConfig, batch: number, capacity: number, tensors: Tensor[]) {
    this.#backend = backend;
    this.#config = config;
    this.#names = cacheNames(config);
    this.#tensors = tensors;
    this.#capacity = capacity;
    this.batch = batch;
  }

  /** An empty cache with room for `capacity` positions of `batch` rows. */
  static async create(backend: Backend, config: GemmaConfig, batch: number, capacity: number): Promise<KeyValueCache> {
    const room = Math.max(capacity, MIN_CAPACITY);
    const shape = [room, batch, config.numKeyValueHeads * config.headDim];
    const tensors: Tensor[] = [];
    try {
      for (const _ of cacheNames(config)) tensors.push(await backend.allocate(backend.target.compute, shape));
    } catch (error) {
      for (const tensor of tensors) tensor.dispose();
      throw error;
    }
    return new KeyValueCache(backend, config, batch, room, tensors);
  }

  /** Makes room for `tokens` more positions; doubles, so that growing costs little over time. */
  async reserve(tokens: number): Promise<void> {
    const needed = this.length + tokens;
    if (needed <= this.#capacity) return;
    const bigger = await KeyValueCache.create(
      this.#backend,
      this.#config,
      this.batch,
      Math.max(needed, this.#capacity * 2),
    );
    try {
      for (const [i, tensor] of this.#tensors.entries()) {
        if (this.length > 0)
          await this.#backend.copy(tensor.rows(0, this.length), bigger.#tensors[i]!.rows(0, this.length));
      }
    } catch (error) {
      bigger.dispose();
      throw error;
    }
    this.#tensors.forEach((tensor) => tensor.dispose());
    this.#tensors.splice(0, this.#tensors.length, ...bigger.#tensors);
    this.#capacity = bigger.#capacity;
  }

  /** Positions that fit without growing, beside those in use. */
  get room(): number {
    return this.#capacity - this.length;
  }

  /** The first `length` positions, under the names of the graph's inputs. */
  past(length: number): Record<string, Tensor> {
    const past: Record<string, Tensor> = {};
    this.#names.forEach((name, i) => (past[`past.${name}`] = this.#tensors[i]!.rows(0, length)));
    return past;
  }

  /** Where the positions [start, end) go, under the names of the graph's outputs. `reserve` first, `length +=` after the run. */
  present(start: number, end: number): Record<string, Tensor> {
    const present: Record<string, Tensor> = {};
    this.#names.forEach((name, i) => (present[`present.${name}`] = this.#tensors[i]!.rows(start, end)));
    return present;
  }

  /** A new cache whose row i is row `parents[i]` of this one. */
  async pick(parents: readonly number[], picker: Session): Promise<KeyValueCache> {
    const picked = await KeyValueCache.create(this.#backend, this.#config, parents.length, this.#capacity);
    try {
      if (this.length > 0) {
        const index = {
          dtype: "int64",
          shape: [parents.length],
          data: BigInt64Array.from(parents.map(BigInt)),
        } as const;
        for (const [i, tensor] of this.#tensors.entries()) {
          await picker.run(
            { x: tensor.rows(0, this.length), parents: index },
            { into: { picked: picked.#tensors[i]!.rows(0, this.length) } },
          );
        }
      }
    } catch (error) {
      picked.dispose();
      throw error;
    }
    picked.length = this.length;
    return picked;
  }

  dispose(): void {
    for (const tensor of this.#tensors) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
