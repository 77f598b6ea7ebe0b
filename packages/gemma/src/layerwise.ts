import {
  abortable,
  checkRun,
  isTensor,
  rowsOfPanels,
  type Backend,
  type CompileOptions,
  type Feeds,
  type Requantization,
  type RunOptions,
  type RunResult,
  type Session,
  type Tensor,
} from "@paligemma/backend";
import type { GemmaConfig } from "@paligemma/config";
import { PaliGemmaError, toFloat32, type NdArray } from "@paligemma/core";
import { FED_SCALES, type GraphModel } from "@paligemma/graph";
import type { Checkpoint, QuantizedTensor } from "@paligemma/weights";
import type { DecoderGraphOptions } from "./decoder-graph.ts";
import { disposeAll } from "./dispose-all.ts";
import { beginGraph, headInput, scoresGraph } from "./layer-graphs.ts";
import { inPanels, type LayerMatrix, type LayerPlan } from "./layer-plan.ts";
import { bestOf } from "./scores.ts";
import { int64 } from "./step.ts";

// Weights in 4 bits are multiplied with one row as fast as memory gives them, and with many rows at less than half the speed of bytes
// in panels. So for many rows each layer becomes panels when its turn comes, in the room that the layer before it had: that takes a
// third of the time that it saves, and 110 MB for PaliGemma 3B. Nor does it need what the runtime packs for seconds while it loads.

/** Rows of a run from which on it is faster, measured on two cores: unpacking takes the same time for any number of them. */
export const LAYERWISE_ROWS = 128;

/** What runs a graph of the decoder, or does the same in other ways. */
export interface Runner extends Pick<Session, "model" | "run" | "repeat"> {
  /** True where one run is several, and what is asked for meanwhile may come between them. Default: false. */
  readonly inParts?: boolean;
}

/** What a decoder is made from that runs layer by layer. */
interface LayerwiseOptions extends Pick<DecoderGraphOptions, "images" | "finalSoftcap"> {
  /** The decoder's graph, which it stands for. */
  readonly model: GraphModel;
  readonly plan: LayerPlan;
  readonly config: GemmaConfig;
  readonly backend: Backend;
  readonly checkpoint: Checkpoint;
}

/** Room for a matrix of one layer after the other. */
interface Room extends LayerMatrix {
  readonly panels: Pick<Requantization, "data" | "scales">;
}

/** The output layer, and the matrices in whose rooms parts of it go: none, if it is in panels already. */
interface Head {
  readonly matrix: QuantizedTensor;
  readonly hosts: readonly LayerMatrix[];
  /** Tokens that are scored at a time. */
  readonly together: number;
}

/** What is kept from run to run: what comes before and after the layers, and what is small. */
interface Ends {
  readonly begin: Session;
  readonly scores: Session;
  /** Of each layer, by the names of inputs. */
  readonly vectors: readonly Readonly<Record<string, NdArray>>[];
  readonly head: Head;
}

/** What takes memory: room for a layer, and the session that runs it, since the runtime keeps what it needed. */
interface Space extends AsyncDisposable {
  readonly rooms: readonly Room[];
  readonly layer: Session;
  /** The first layer is in the rooms, or will be, until they are used. */
  first: Promise<void> | undefined;
}

/** A decoder that is run layer by layer. Fed as its graph is, one run after the other. */
export class Layerwise implements Runner, AsyncDisposable {
  readonly model: GraphModel;
  readonly inParts = true;
  readonly #options: LayerwiseOptions;
  readonly #ends: Ends;
  #space: Space | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** Runs that were asked for and have not ended. */
  #asked = 0;

  private constructor(options: LayerwiseOptions, space: Space, ends: Ends) {
    this.model = options.model;
    this.#options = options;
    this.#space = space;
    this.#ends = ends;
  }

  /** Makes room, and compiles the parts. */
  static async create(options: LayerwiseOptions, compile: CompileOptions): Promise<Layerwise> {
    const space = await spaceFor(options, compile);
    try {
      return new Layerwise(options, space, await endsOf(options, compile));
    } catch (error) {
      await space[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** As a session's; no output is left on the device but in tensors that are there. */
  run(feeds: Feeds, options: RunOptions): Promise<RunResult> {
    checkRun(this.model, feeds, options);
    if (options.device && options.device.length > 0)
      throw new PaliGemmaError("backend/option", `${this.model.name}, layer by layer, makes no tensors on the device`);
    this.#asked++;
    const run = this.#inTurn(() => this.#run(feeds, options)).finally(() => this.#asked--);
    return abortable(run, options.signal, () => undefined);
  }

  /**
   * Gives back room for a layer, and what the runtime keeps for the next one, until the next run: 240 MB for PaliGemma 3B. While
   * something runs, or waits for its turn, nothing is given back, and nobody waits.
   */
  async rest(): Promise<void> {
    if (this.#asked === 0) await this.#inTurn(() => this.#giveBack());
  }

  async #giveBack(): Promise<void> {
    const space = this.#space;
    this.#space = undefined;
    await space?.[Symbol.asyncDispose]();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #run(feeds: Feeds, { host = [], into = {}, signal }: RunOptions): Promise<RunResult> {
    signal?.throwIfAborted();
    const space = (this.#space ??= await spaceFor(this.#options));
    const how = signal ? { signal } : {};
    const kept: Tensor[] = [];
    const keep = (tensor: Tensor): Tensor => {
      kept.push(tensor);
      return tensor;
    };
    try {
      const hidden = await this.#layers(space, feeds, { into, ...how }, keep);
      const results: Record<string, NdArray> = {};
      if (host.includes("logits") || host.includes("next")) {
        const logits = await this.#scores(space, hidden, feeds["scored_rows"] ?? allOf(hidden), how);
        const [rows = 0, vocabulary = 0] = logits.shape;
        const best = (): NdArray => int64([rows, 1], bestOf({ data: logits.data, rows, vocabulary }));
        for (const name of host) results[name] = name === "next" ? best() : logits;
      }
      return { host: results, device: {} };
    } finally {
      for (const tensor of kept) tensor.dispose();
    }
  }

  /** Runs layer after layer, and gives what comes of the last. `keep` disposes tensors when all have run. */
  async #layers(
    space: Space,
    feeds: Feeds,
    { into = {}, ...how }: Pick<RunOptions, "into" | "signal">,
    keep: (tensor: Tensor) => Tensor,
  ): Promise<Tensor> {
    const { backend, config } = this.#options;
    const { begin, vectors } = this.#ends;
    const { rooms, layer } = space;
    const pick = ({ model }: Session): Feeds =>
      Object.fromEntries(model.inputs.flatMap(({ name }) => (feeds[name] ? [[name, feeds[name]]] : [])));
    const onDevice = async (name: string): Promise<Tensor> => {
      const fed = feeds[name]!;
      return isTensor(fed) ? fed : keep(await backend.upload(fed));
    };

    const mask = await onDevice("mask");
    const sliding = feeds["sliding_mask"] ? await onDevice("sliding_mask") : mask;
    let filled = space.first ?? unpack(backend, rooms, 0);
    space.first = undefined;
    const begun = (await begin.run(pick(begin), { device: ["x", "cos", "sin"], ...how })).device;
    Object.values(begun).forEach(keep);
    const shared = Object.assign({ cos: begun["cos"]!, sin: begun["sin"]! }, ...rooms.map(feedsOf)) as Feeds;
    let x = begun["x"]!;
    const all = allOf(x);
    const { numHiddenLayers, layerTypes } = config;
    for (let i = 0; ; i++) {
      const isLast = i === numHiddenLayers - 1;
      const given = isLast ? into["hidden"] : undefined;
      const own = {
        x,
        // In the last layer nothing but keys and values is made of rows that nobody asks for.
        asked_rows: isLast ? feeds["logit_rows"]! : all,
        mask: layerTypes[i] === "sliding_attention" ? sliding : mask,
        "past.0.key": feeds[`past.${i}.key`]!,
        "past.0.value": feeds[`past.${i}.value`]!,
      };
      const kept = { "present.0.key": into[`present.${i}.key`], "present.0.value": into[`present.${i}.value`] };
      const run = layer.run(
        { ...pick(layer), ...shared, ...own, ...vectors[i] },
        { device: given ? [] : ["next"], into: thoseGiven({ ...kept, next: given }), ...how },
      );
      // Unpacked as soon as the run before has ended, without waiting for word of it.
      const next = isLast ? Promise.resolve() : unpack(backend, rooms, i + 1);
      const { device } = await run;
      x.dispose();
      x = given ?? keep(device["next"]!);
      await filled;
      if (isLast) return x;
      filled = next;
    }
  }

  /** Scores [scored, vocabulary], of as many tokens at a time as there is room for. */
  async #scores(
    { rooms: all }: Space,
    hidden: Tensor,
    rows: NdArray | Tensor,
    how: { readonly signal?: AbortSignal },
  ): Promise<NdArray<"float32">> {
    const { backend, config } = this.#options;
    const { vocabSize } = config;
    const { scores, head } = this.#ends;
    const { matrix, hosts, together } = head;
    const rooms = all.filter(({ input }) => hosts.some((host) => host.input === input));
    const scored = rows.shape[0]!;
    const logits: NdArray<"float32"> = {
      dtype: "float32",
      shape: [scored, vocabSize],
      data: new Float32Array(scored * vocabSize),
    };
    if (scored === 0) return logits;
    const fill = (first: number): Promise<void> => {
      const work = rooms.map(({ panels, shape }, i) => ({ matrix, start: first + i * shape[0], ...panels }));
      return quiet(backend.requantize!(work.filter(({ start }) => start < vocabSize)));
    };
    const feeds = Object.assign({}, ...rooms.map((room, i) => feedsOf({ ...room, input: headInput(i) }))) as Feeds;
    let filled = fill(0);
    for (let first = 0; first < vocabSize; first += together) {
      const run = scores.run({ hidden, scored_rows: rows, ...feeds }, { host: ["scores"], ...how });
      const next = first + together < vocabSize ? fill(first + together) : undefined;
      const { host } = await run;
      await filled;
      const part = host["scores"]!.data as Float32Array;
      for (let row = 0; row < scored; row++) {
        const known = part.subarray(row * together, row * together + Math.min(together, vocabSize - first));
        logits.data.set(known, row * vocabSize + first);
      }
      if (next) filled = next;
    }
    return logits;
  }

  /** When what was asked for has run. */
  async dispose(): Promise<void> {
    await this.#inTurn(() => this.#giveBack());
    await disposeAll([this.#ends.begin, this.#ends.scores]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Makes room for a layer, and compiles what runs it. */
async function spaceFor({ plan, backend }: LayerwiseOptions, compile: CompileOptions = {}): Promise<Space> {
  const made: (AsyncDisposable | Disposable)[] = [];
  try {
    const rooms: Room[] = [];
    for (const matrix of plan.matrices) {
      const panels = await roomFor(matrix.shape, backend, (tensor) => void made.push(tensor));
      rooms.push({ ...matrix, panels });
    }
    // Meanwhile the graphs are built, and the first prompt finds the memory there and its first layer in it.
    const first = unpack(backend, rooms, 0);
    const layer = await backend.compile(plan.layer, compile);
    made.push(layer);
    return { rooms, layer, first, [Symbol.asyncDispose]: () => disposeAll(made) };
  } catch (error) {
    await disposeAll(made);
    throw error;
  }
}

/** Compiles what comes before and after the layers, and reads their vectors. */
async function endsOf(
  { plan, config, backend, checkpoint, ...options }: LayerwiseOptions,
  compile: CompileOptions,
): Promise<Ends> {
  const { target } = backend;
  const head = headIn(plan, config);
  const begin = await backend.compile(beginGraph(config, target, checkpoint, options), compile);
  const made = [begin];
  try {
    const scores = await backend.compile(scoresGraph(config, target, checkpoint, head, options), compile);
    made.push(scores);
    const vectorsOf = async (i: number): Promise<Readonly<Record<string, NdArray>>> => {
      const read = plan.vectors.map(
        async ({ input, nameIn }) => [input, toFloat32(await checkpoint.read(nameIn(i)))] as const,
      );
      return Object.fromEntries(await Promise.all(read));
    };
    const vectors = await Promise.all(Array.from({ length: config.numHiddenLayers }, (_, i) => vectorsOf(i)));
    return { begin, scores, vectors, head };
  } catch (error) {
    await disposeAll(made);
    throw error;
  }
}

async function roomFor(
  shape: readonly [number, number],
  backend: Backend,
  onMade: (tensor: Tensor) => void,
): Promise<Room["panels"]> {
  const [out, width] = shape;
  const rows = rowsOfPanels(shape)!;
  const data = await backend.allocate("int8", [out / rows, width, rows]);
  onMade(data);
  const scales = await backend.allocate("float32", [out / rows, 1, rows]);
  onMade(scales);
  return { data, scales };
}

/** Unpacks the matrices of a layer, after all that was asked for. */
function unpack(backend: Backend, rooms: readonly Room[], layer: number): Promise<void> {
  return quiet(backend.requantize!(rooms.map(({ panels, stored }) => ({ matrix: stored[layer]!, ...panels }))));
}

/** The promise, whose failure is nobody's business until it is awaited. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

function feedsOf({ input, panels: { data, scales } }: Room): Record<string, Tensor> {
  return { [input]: data, [`${input}${FED_SCALES}`]: scales };
}

function thoseGiven(tensors: Readonly<Record<string, Tensor | undefined>>): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(tensors).flatMap(([name, tensor]) => (tensor ? [[name, tensor]] : [])));
}

/** The output layer goes where the largest matrices go that take what it takes: several parts of it at a time. */
function headIn({ matrices, head: matrix }: LayerPlan, config: GemmaConfig): Head {
  if (inPanels(matrix)) return { matrix, hosts: [], together: config.vocabSize };
  const fitting = matrices.filter(({ shape }) => shape[1] === config.hiddenSize);
  const rowsOfRoom = Math.max(...fitting.map(({ shape }) => shape[0]));
  const hosts = fitting.filter(({ shape }) => shape[0] === rowsOfRoom);
  return { matrix, hosts, together: rowsOfRoom * hosts.length };
}

function allOf({ shape: [rows = 0] }: Tensor): NdArray<"int64"> {
  return int64(
    [rows],
    Array.from({ length: rows }, (_, i) => i),
  );
}
