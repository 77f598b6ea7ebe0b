import {
  checkRun,
  isTensor,
  type Feeds,
  type RunOptions,
  type RunResult,
  type Session,
  type Tensor,
} from "@paligemma/backend";
import { PaliGemmaError, viewAs, type NdArray } from "@paligemma/core";
import type { GraphModel } from "@paligemma/graph";
import { bytesOf } from "./array-bytes.ts";
import type { WorkerLink } from "./link.ts";
import { IN_PAYLOAD, TO_DEVICE, TO_HOST, TO_TENSOR, type RunRequest } from "./protocol.ts";
import { NodeTensor } from "./tensor.ts";

/** Typed arrays begin at multiples of their element's size; 8 suits all of them. */
const ALIGNMENT = 8;

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
    this.#link.mustBeOpen();
    if (this.#disposed)
      throw new PaliGemmaError(
        "backend/disposed",
        `the session of ${this.model.name} was disposed; compile the graph again`,
      );
    checkRun(this.model, feeds, options, true);
    const { host = [], device = [], into = {}, signal } = options;
    const { fed, payload } = this.#pack(feeds);
    const fetches: number[] = [];
    for (const name of host) fetches.push(this.#places.get(name)!, TO_HOST);
    const made = device.map((name) => {
      const tensor = this.#link.fresh();
      fetches.push(this.#places.get(name)!, TO_DEVICE, tensor);
      return tensor;
    });
    for (const name in into) {
      const { id, start, slots, shape } = NodeTensor.use(into[name]!, this.#link, `into ${name}`);
      fetches.push(this.#places.get(name)!, TO_TENSOR, id, start, slots, shape.length, ...shape);
    }
    const request: RunRequest = {
      kind: "run",
      id: this.#link.fresh(),
      session: this.#id,
      feeds: Float64Array.from(fed),
      fetches: Float64Array.from(fetches),
      ...(options.unless && { unless: this.#condition(options.unless) }),
      ...(payload && { payload }),
    };
    return this.#send(request, { host, device, made, signal });
  }

  async #send(
    request: RunRequest,
    {
      host,
      device,
      made,
      signal,
    }: {
      readonly host: readonly string[];
      readonly device: readonly string[];
      readonly made: readonly number[];
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<RunResult> {
    const { feeds, fetches, payload } = request;
    const move = [feeds.buffer, fetches.buffer, ...(payload ? [payload] : [])];
    const reply = await this.#link.ask(request, `run ${this.model.name}`, { move, signal }).catch((error: unknown) => {
      for (const tensor of made) this.#link.post({ kind: "free", tensor });
      throw error;
    });
    if (reply.kind === "skipped") return { host: {}, device: {}, skipped: true };
    if (reply.kind !== "ran") throw new PaliGemmaError("backend/worker", `a run was answered with ${reply.kind}`);
    const result: { host: Record<string, NdArray>; device: Record<string, Tensor> } = { host: {}, device: {} };
    host.forEach((name, i) => {
      const { dtype } = this.#output(name);
      result.host[name] = { dtype, shape: reply.shapes[i]!, data: viewAs(dtype, new Uint8Array(reply.buffers[i]!)) };
    });
    device.forEach((name, i) => {
      result.device[name] = NodeTensor.of(
        this.#link,
        made[i]!,
        this.#output(name).dtype,
        reply.shapes[host.length + i]!,
      );
    });
    return result;
  }

  #condition({ tensor, values }: NonNullable<RunOptions["unless"]>): readonly number[] {
    const { id, start } = NodeTensor.use(tensor, this.#link, "unless");
    return [id, start, ...values];
  }

  #output(name: string): GraphModel["outputs"][number] {
    return this.model.outputs[this.#places.get(name)!]!;
  }

  /** Feeds as a flat list, the caller's arrays one after another in one buffer. */
  #pack(given: Feeds): { readonly fed: readonly number[]; readonly payload: ArrayBuffer | undefined } {
    const fed: number[] = [];
    const arrays: { readonly bytes: Uint8Array; readonly at: number }[] = [];
    let size = 0;
    for (const { name } of this.model.inputs) {
      const array = given[name]!;
      if (isTensor(array)) {
        const { id, start, slots, shape } = NodeTensor.use(array, this.#link, name);
        fed.push(id, start, slots, shape.length, ...shape);
      } else {
        const bytes = bytesOf(array, name);
        fed.push(IN_PAYLOAD, size, bytes.byteLength, array.shape.length, ...array.shape);
        arrays.push({ bytes, at: size });
        size += Math.ceil(bytes.byteLength / ALIGNMENT) * ALIGNMENT;
      }
    }
    if (arrays.length === 0) return { fed, payload: undefined };
    const payload = new Uint8Array(size);
    for (const { bytes, at } of arrays) payload.set(bytes, at);
    return { fed, payload: payload.buffer };
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
