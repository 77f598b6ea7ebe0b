import { rm } from "node:fs/promises";
import { allocate, viewAs, type ArrayTypes, type DType } from "@paligemma/core";
import type * as Runtime from "onnxruntime-node";
import {
  IN_PAYLOAD,
  TO_DEVICE,
  TO_HOST,
  type CompileRequest,
  type CopyRequest,
  type RepeatRequest,
  type Reply,
  type Request,
  type RunRequest,
  type Slot,
} from "./protocol.ts";
import { readProfile } from "./profile.ts";

type Data = ArrayTypes[DType];

interface Compiled {
  readonly runtime: Runtime.InferenceSession;
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
  /** Folder of its profile, until that was read. */
  profile: string | undefined;
}

/** A reply and the buffers in it that are moved, not copied. */
export interface Answer {
  readonly reply: Reply;
  readonly move: readonly ArrayBuffer[];
  /** What is to be done again when everything else that waits had its turn. */
  readonly again?: Request;
}

type Ran = Extract<Reply, { readonly kind: "ran" }>;

/** Does what requests ask for: keeps the sessions and the tensors, both by number. */
export class Executor {
  readonly #ort: typeof Runtime;
  #running = 0;
  readonly #sessions = new Map<number, Compiled>();
  readonly #tensors = new Map<number, Data>();

  constructor(ort: typeof Runtime) {
    this.#ort = ort;
  }

  /** Carries out one request; undefined where no answer is wanted. */
  async execute(request: Request): Promise<Answer | undefined> {
    switch (request.kind) {
      case "compile":
        await this.#compile(request);
        return done(request.id);
      case "run":
        return this.#run(request);
      case "repeat":
        return this.#repeat(request);
      case "allocate":
        this.#tensors.set(request.tensor, allocate(request.dtype, request.count));
        return done(request.id);
      case "upload":
        this.#tensors.set(request.tensor, viewAs(request.dtype, new Uint8Array(request.bytes)));
        return done(request.id);
      case "download": {
        const bytes = this.#window(request.tensor, request.start, request.slots).slice().buffer;
        return { reply: { kind: "bytes", id: request.id, bytes }, move: [bytes] };
      }
      case "copy":
        this.#copy(request);
        return done(request.id);
      case "release": {
        const session = this.#sessions.get(request.session);
        this.#sessions.delete(request.session);
        if (session) await release(session);
        return done(request.id);
      }
      case "profile":
        return { reply: await this.#profile(request), move: [] };
      case "free":
        this.#tensors.delete(request.tensor);
        return undefined;
      case "count":
        return { reply: this.#count(request.id), move: [] };
      case "cancel":
      case "close":
        return undefined;
    }
  }

  #count(id: number): Reply {
    const tensors = [...this.#tensors.values()];
    const tensorBytes = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
    return {
      kind: "counted",
      id,
      tensors: tensors.length,
      tensorBytes,
      sessions: this.#sessions.size,
      runMilliseconds: this.#running,
    };
  }

  /** Frees all sessions and tensors. */
  async close(): Promise<void> {
    this.#tensors.clear();
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const session of sessions) await release(session);
  }

  async #profile({ id, session }: { readonly id: number; readonly session: number }): Promise<Reply> {
    const compiled = this.#sessions.get(session);
    const folder = compiled?.profile;
    if (!compiled || folder === undefined) throw new Error(`session ${session} has no profile`);
    compiled.profile = undefined;
    compiled.runtime.endProfiling();
    return { kind: "profiled", id, profile: await readProfile(folder) };
  }

  async #compile({ session, model, handed, options, inputs, outputs, profile }: CompileRequest): Promise<void> {
    const all = handed.length > 0 ? { ...options, externalData: handed } : options;
    const runtime = await this.#create(model, all);
    this.#sessions.set(session, { runtime, inputs, outputs, profile });
  }

  #create(model: Uint8Array | string, options: object): Promise<Runtime.InferenceSession> {
    const { InferenceSession } = this.#ort;
    return typeof model === "string"
      ? InferenceSession.create(model, options)
      : InferenceSession.create(model, options);
  }

  async #run({
    id,
    session,
    feeds,
    fetches,
    payload,
  }: Omit<RunRequest, "kind">): Promise<Answer & { readonly reply: Ran }> {
    const { runtime, inputs, outputs } = this.#sessions.get(session)!;
    const fed: Record<string, Runtime.Tensor> = {};
    let at = 0;
    for (const { name, dtype } of inputs) {
      const [tensor, start, slots, rank] = [feeds[at]!, feeds[at + 1]!, feeds[at + 2]!, feeds[at + 3]!];
      const data =
        tensor === IN_PAYLOAD
          ? viewAs(dtype, new Uint8Array(payload!, start, slots))
          : this.#window(tensor, start, slots);
      fed[name] = this.#tensor(dtype, data, [...feeds.subarray(at + 4, at + 4 + rank)]);
      at += 4 + rank;
    }
    const wanted: Record<string, Runtime.Tensor | null> = {};
    const returned: { readonly slot: Slot; readonly device: number | undefined }[] = [];
    const kept = new Set<string>();
    for (at = 0; at < fetches.length;) {
      const slot = outputs[fetches[at]!]!;
      const to = fetches[at + 1]!;
      if (to === TO_HOST || to === TO_DEVICE) {
        wanted[slot.name] = null;
        returned.push({ slot, device: to === TO_DEVICE ? fetches[at + 2]! : undefined });
        at += to === TO_DEVICE ? 3 : 2;
        continue;
      }
      const [tensor, start, slots, rank] = [fetches[at + 2]!, fetches[at + 3]!, fetches[at + 4]!, fetches[at + 5]!];
      kept.add(slot.name);
      wanted[slot.name] = this.#tensor(slot.dtype, this.#window(tensor, start, slots), [
        ...fetches.subarray(at + 6, at + 6 + rank),
      ]);
      at += 6 + rank;
    }
    const begin = performance.now();
    const results = await runtime.run(fed, wanted);
    this.#running += performance.now() - begin;
    const buffers: ArrayBuffer[] = [];
    const shapes = returned.map(({ slot, device }) => {
      const { data, dims } = results[slot.name]!;
      const bytes = kept.has(slot.name) ? copyOf(data as Data) : owned(data as Data);
      if (device === undefined) buffers.push(bytes);
      else this.#tensors.set(device, viewAs(slot.dtype, new Uint8Array(bytes)));
      return dims;
    });
    return { reply: { kind: "ran", id, shapes, buffers }, move: buffers };
  }

  #copy({ from, fromStart, to, toStart, slots }: CopyRequest): void {
    this.#window(to, toStart, slots).set(this.#window(from, fromStart, slots) as never);
  }

  /** One run of those that are asked for, and what is left to do. */
  async #repeat(request: RepeatRequest): Promise<Answer> {
    const { reply, move } = await this.#run(request);
    const { until } = request;
    const ends =
      until && until.values.includes(Number(viewAs(until.dtype, new Uint8Array(reply.buffers[until.buffer]!))[0]));
    request.left--;
    if (ends || request.left === 0) return { reply, move };
    request.feedSteps.forEach((step, i) => (request.feeds[i]! += step));
    request.fetchSteps.forEach((step, i) => (request.fetches[i]! += step));
    return { reply: { ...reply, more: true }, move, again: request };
  }

  #window(tensor: number, start: number, slots: number): Data {
    const data = this.#tensors.get(tensor);
    if (!data) throw new Error(`tensor ${tensor} is not in the store`);
    return data.subarray(start, start + slots);
  }

  #tensor(dtype: DType, data: Data, dims: number[]): Runtime.Tensor {
    return new this.#ort.Tensor(dtype as "float32", data as Float32Array, dims);
  }
}

/** Frees a session, and with it a profile that nobody asked for. */
async function release({ runtime, profile }: Compiled): Promise<void> {
  await runtime.release();
  if (profile !== undefined) await rm(profile, { recursive: true, force: true });
}

function done(id: number): Answer {
  return { reply: { kind: "done", id }, move: [] };
}

/** The bytes in a buffer of their own, which may be moved. */
function owned(data: Data): ArrayBuffer {
  const whole = data.byteOffset === 0 && data.byteLength === data.buffer.byteLength;
  return whole ? (data.buffer as ArrayBuffer) : copyOf(data);
}

function copyOf(data: Data): ArrayBuffer {
  return data.slice().buffer;
}
