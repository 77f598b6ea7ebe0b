import {
  checkRepeat,
  checkRun,
  isTensor,
  type Feeds,
  type RepeatOptions,
  type RunOptions,
  type RunResult,
  type Session,
  type Tensor,
} from "@paligemma/backend";
import { PaliGemmaError, bytesFor, sizeOf, viewAs, type NdArray } from "@paligemma/core";
import type { GraphModel } from "@paligemma/graph";
import { bytesOf } from "./array-bytes.ts";
import type { WorkerLink } from "./link.ts";
import {
  IN_PAYLOAD,
  TO_DEVICE,
  TO_HOST,
  TO_TENSOR,
  type MovingRun,
  type Reply,
  type RepeatRequest,
  type RunNumbers,
  type RunRequest,
} from "./protocol.ts";
import { closeRing, makeRing, moreThan, resultAt, resultsIn } from "./result-ring.ts";
import { NodeTensor } from "./tensor.ts";

/** Typed arrays begin at multiples of their element's size; 8 suits all of them. */
const ALIGNMENT = 8;

/** Windows that are so many rows further on in each of so many runs. */
type Windows = Pick<RepeatOptions, "times" | "moves">;

/** Numbers of a request, and for each input or output how far its window moves from run to run. */
interface Packed {
  readonly numbers: number[];
  readonly moves: readonly number[];
}

/** Outputs that come to the host, and the shapes of those whose dimensions tell it. */
interface Told {
  readonly host: readonly string[];
  readonly shapes: readonly (readonly number[] | undefined)[];
}

/** A graph that the worker has compiled. */
export class NodeSession implements Session {
  readonly model: GraphModel;
  readonly #link: WorkerLink;
  readonly #id: number;
  readonly #places: ReadonlyMap<string, number>;
  readonly #beforeRelease: (() => Promise<void>) | undefined;
  #disposed = false;

  constructor(link: WorkerLink, id: number, model: GraphModel, beforeRelease?: () => Promise<void>) {
    this.#beforeRelease = beforeRelease;
    this.#link = link;
    this.#id = id;
    this.model = model;
    this.#places = new Map(model.outputs.map((port, place) => [port.name, place]));
  }

  run(feeds: Feeds, options: RunOptions): Promise<RunResult> {
    this.#mustLive();
    checkRun(this.model, feeds, options);
    const { host = [], device = [], into = {}, signal } = options;
    const made = device.map(() => this.#link.fresh());
    const fetches = this.#packFetches(host, into);
    device.forEach((name, i) => fetches.numbers.push(this.#places.get(name)!, TO_DEVICE, made[i]!));
    const { numbers, payload } = this.#packFeeds(feeds);
    const request: RunRequest = {
      kind: "run",
      id: this.#link.fresh(),
      session: this.#id,
      feeds: Float64Array.from(numbers),
      fetches: Float64Array.from(fetches.numbers),
      ...(payload && { payload }),
    };
    const result = (reply: Reply): RunResult => this.#result(reply, host, device, made);
    return this.#link
      .ask(request, `run ${this.model.name}`, { move: moved(request), signal })
      .then(result, (error: unknown) => {
        for (const tensor of made) this.#link.post({ kind: "free", tensor });
        throw error;
      });
  }

  repeat(feeds: Feeds, options: RepeatOptions): AsyncGenerator<RunResult, void> {
    this.#mustLive();
    checkRepeat(this.model, feeds, options);
    const { times, together = 1, host, until, followedBy } = options;
    const following = followedBy && { ...followedBy, session: NodeSession.#use(followedBy.session, this.#link) };
    // What hands out results.
    const last = following ?? { session: this, feeds };
    const told: Told = { host, shapes: host.map((name) => last.session.#shapeOf(name, last.feeds)) };
    const bytes = last.session.#sizesOf(told)?.reduce((sum, size) => sum + size, 0);
    const ring = bytes === undefined ? undefined : makeRing(bytes, times, together);
    const request: RepeatRequest = {
      kind: "repeat",
      id: this.#link.fresh(),
      left: times,
      ...this.#pack(feeds, following ? { ...options, host: [] } : options),
      ...(following && { followedBy: following.session.#pack(following.feeds, { times, host, ...following }) }),
      ...(until && {
        until: {
          buffer: host.indexOf(until.output),
          dtype: last.session.#output(until.output).dtype,
          values: until.values,
          atOnce: until.atOnce ?? [],
        },
      }),
      ...(ring && { ring }),
    };
    return last.session.#results(request, told, options.signal);
  }

  /** Throws where the session belongs to another backend or is gone. */
  static #use(session: Session, link: WorkerLink): NodeSession {
    if (!(session instanceof NodeSession) || session.#link !== link)
      throw new PaliGemmaError("backend/foreign", `${session.model.name} is a session of another backend`);
    session.#mustLive();
    return session;
  }

  /** One of several runs. */
  #pack(feeds: Feeds, options: Pick<RepeatOptions, "times" | "host" | "into" | "moves">): MovingRun {
    const fed = this.#packFeeds(feeds, options);
    const fetched = this.#packFetches(options.host, options.into ?? {}, options);
    return {
      session: this.#id,
      feeds: Float64Array.from(fed.numbers),
      feedMoves: Float64Array.from(fed.moves),
      fetches: Float64Array.from(fetched.numbers),
      fetchMoves: Float64Array.from(fetched.moves),
      ...(fed.payload && { payload: fed.payload }),
    };
  }

  /** Shape of an output for these inputs, where their dimensions tell it. */
  #shapeOf(name: string, feeds: Feeds): readonly number[] | undefined {
    const sizes = new Map<string, number>();
    for (const input of this.model.inputs)
      input.shape.forEach((d, axis) => typeof d === "string" && sizes.set(d, feeds[input.name]!.shape[axis]!));
    const shape = this.#output(name).shape.map((d) => (typeof d === "number" ? d : sizes.get(d)));
    return shape.every((size) => size !== undefined) ? shape : undefined;
  }

  /** Bytes of each output, where all shapes are known. */
  #sizesOf({ host, shapes }: Told): readonly number[] | undefined {
    const sizes = shapes.map((shape, i) => shape && bytesFor(this.#output(host[i]!).dtype, sizeOf(shape)));
    return sizes.every((size) => size !== undefined) ? sizes : undefined;
  }

  async *#results(
    request: RepeatRequest,
    told: Told,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<RunResult, void> {
    const { host } = told;
    const { ring } = request;
    const [shapes, sizes] = [told.shapes as readonly (readonly number[])[], this.#sizesOf(told)];
    const arrived: Reply[] = [];
    let ended = false;
    let wake = (): void => undefined;
    const take = (reply: Reply): void => {
      arrived.push(reply);
      wake();
    };
    const last = this.#link.ask(request, `repeat ${this.model.name}`, { move: moved(request), signal, onPart: take });
    const whole = last.then(take).finally(() => {
      ended = true;
      wake();
    });
    whole.catch(() => undefined);
    try {
      for (let seen = 0; ;) {
        if (signal?.aborted) return await whole;
        if (ring && seen < resultsIn(ring, ended || arrived.length > 0)) {
          const buffers = resultAt(ring, seen++, sizes!);
          yield this.#result({ kind: "ran", id: request.id, shapes, buffers }, host, [], []);
          continue;
        }
        const reply = arrived.shift();
        if (reply) yield this.#result(reply, host, [], []);
        else if (ended) return await whole;
        else {
          const woken = new Promise<void>((resolve) => (wake = resolve));
          await (ring ? Promise.race([woken, moreThan(ring, seen)]) : woken);
        }
      }
    } finally {
      if (!ended) this.#link.cancel(request.id);
      if (ring) closeRing(ring);
    }
  }

  #mustLive(): void {
    this.#link.mustBeOpen();
    if (this.#disposed)
      throw new PaliGemmaError(
        "backend/disposed",
        `the session of ${this.model.name} was disposed; compile the graph again`,
      );
  }

  #result(reply: Reply, host: readonly string[], device: readonly string[], made: readonly number[]): RunResult {
    if (reply.kind !== "ran") throw new PaliGemmaError("backend/worker", `a run was answered with ${reply.kind}`);
    const result: { host: Record<string, NdArray>; device: Record<string, Tensor> } = { host: {}, device: {} };
    host.forEach((name, i) => {
      const { dtype } = this.#output(name);
      result.host[name] = { dtype, shape: reply.shapes[i]!, data: viewAs(dtype, new Uint8Array(reply.buffers[i]!)) };
    });
    device.forEach((name, i) => {
      const { dtype } = this.#output(name);
      result.device[name] = NodeTensor.of(this.#link, made[i]!, dtype, reply.shapes[host.length + i]!);
    });
    return result;
  }

  #output(name: string): GraphModel["outputs"][number] {
    return this.model.outputs[this.#places.get(name)!]!;
  }

  /** Feeds as a flat list, the caller's arrays one after another in one buffer. */
  #packFeeds(given: Feeds, windows?: Windows): Packed & { readonly payload: ArrayBuffer | undefined } {
    const numbers: number[] = [];
    const moves: number[] = [];
    const arrays: { readonly bytes: Uint8Array; readonly at: number }[] = [];
    let size = 0;
    for (const { name } of this.model.inputs) {
      const array = given[name]!;
      if (isTensor(array)) {
        const used = NodeTensor.use(array, this.#link, name);
        numbers.push(used.id, ...used.window);
        moves.push(moveOf(used, name, windows));
      } else {
        const bytes = bytesOf(array, name);
        numbers.push(IN_PAYLOAD, size, bytes.byteLength, array.shape.length, ...array.shape);
        moves.push(0);
        arrays.push({ bytes, at: size });
        size += Math.ceil(bytes.byteLength / ALIGNMENT) * ALIGNMENT;
      }
    }
    if (arrays.length === 0) return { numbers, moves, payload: undefined };
    const payload = new Uint8Array(size);
    for (const { bytes, at } of arrays) payload.set(bytes, at);
    return { numbers, moves, payload: payload.buffer };
  }

  #packFetches(host: readonly string[], into: Readonly<Record<string, Tensor>>, windows?: Windows): Packed {
    const numbers: number[] = [];
    const moves: number[] = [];
    for (const name of host) {
      numbers.push(this.#places.get(name)!, TO_HOST);
      moves.push(0);
    }
    for (const name in into) {
      const used = NodeTensor.use(into[name]!, this.#link, `into ${name}`);
      numbers.push(this.#places.get(name)!, TO_TENSOR, used.id, ...used.window);
      moves.push(moveOf(used, name, windows));
    }
    return { numbers, moves };
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#link.closed) return;
    await this.#beforeRelease?.();
    const id = this.#link.fresh();
    await this.#link
      .ask({ kind: "release", id, session: this.#id }, `release ${this.model.name}`)
      .catch((error: unknown) => {
        // A backend that goes away frees its sessions itself.
        if (!this.#link.closed) throw error;
      });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function moveOf(tensor: NodeTensor, name: string, windows: Windows | undefined): number {
  const rows = windows?.moves?.[name] ?? 0;
  return rows > 0 ? tensor.step(name, rows, windows!.times) : 0;
}

/** The buffers of a request, which are moved. */
function moved(request: RunRequest | RepeatRequest): ArrayBuffer[] {
  const runs: readonly (RunNumbers | MovingRun)[] =
    request.kind === "repeat" && request.followedBy ? [request, request.followedBy] : [request];
  return runs.flatMap((run) => {
    const moves = "feedMoves" in run ? [run.feedMoves.buffer, run.fetchMoves.buffer] : [];
    return [run.feeds.buffer, run.fetches.buffer, ...moves, ...(run.payload ? [run.payload] : [])];
  });
}
